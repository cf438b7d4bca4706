// Vectors of numbers: as wide as the processor has them; for the last columns a quarter of that, then one at a time.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

using Int = std::int64_t;

template <class Real, int L>
using Vector __attribute__((vector_size(L * sizeof(Real)))) = Real;

#ifdef __AVX512VL__
constexpr int BYTES = 64;
#else
constexpr int BYTES = 32;
#endif

template <class Real>
constexpr int WIDE = BYTES / sizeof(Real);

template <int L>
constexpr int NARROWER = L >= 8 ? L / 4 : 1;

template <int L, class Real>
inline Vector<Real, L> load(const Real *from) {
    Vector<Real, L> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class Real, class V>
inline void store(Real *to, V v) {
    std::memcpy(to, &v, sizeof v);
}

template <int L, class Each>
inline void columns(Int from, Int units, Each each) {  // each(lanes, column)
    for (; from + L <= units; from += L) each(std::integral_constant<int, L>(), from);
    if constexpr (L > 1)
        if (from < units) columns<NARROWER<L>>(from, units, each);
}

template <class V, class Real>
inline V clipped(V v, Real clip) {  // one min and one max, in the order that lets NaN pass
    const V high = V{} + clip, low = -high;
    v = high < v ? high : v;
    return low > v ? low : v;
}

// tanh x = e / (e + 2) with e = expm1(2x) = 2^k (expm1(r) + 1) - 1, |r| <= log(2) / 2: a few units in the last place.
template <class Real, int L>
inline Vector<Real, L> tangent(Vector<Real, L> x) {
    using V = Vector<Real, L>;
    using Word = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
    using Words = Vector<Word, L>;
    constexpr int MANTISSA = sizeof(Real) == 4 ? 23 : 52, TERMS = sizeof(Real) == 4 ? 7 : 13;
    constexpr Real ROUND = Real(1.5) * Real(Word(1) << MANTISSA);  // added, the lowest bits hold the nearest integer
    constexpr Word BIAS = (Word(1) << (8 * sizeof(Real) - MANTISSA - 2)) - 1;
    constexpr Real HIGH = Real(0.693145751953125), LOW = Real(1.42860682030941723212e-6);  // log(2)
    V z = 2 * clipped(x, Real(sizeof(Real) == 4 ? 10 : 20));  // beyond, tanh is one
    V shifted = z * Real(1.44269504088896340736) + ROUND;
    V k = shifted - ROUND;
    V r = z - k * HIGH - k * LOW;
    V p = V{} + Real(1) / TERMS;
    for (int n = TERMS - 1; n > 1; n--) p = (p * r + 1) * (Real(1) / n);
    p = (p * r + 1) * r;  // expm1(r) = r (1 + r/2 (1 + r/3 (...)))
    Words bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + BIAS) << MANTISSA;
    V scale;
    std::memcpy(&scale, &bits, sizeof scale);
    V e = scale * p + (scale - 1);
    return e / (e + 2);
}

}  // namespace
