// Plastic sequences step by step, for processors: the trace of an episode is read and written once a step, in the cache.
//
// B episodes, T steps, N units; matrices are (pre, post), row by row. A trace of 200 units is 160 KB, and a step of
//
//     post = f(pre @ (weight + alpha * trace) + input)
//     trace' = clip(trace * retain + pre^T write),  retain = 1 - eta * (0 | 1 | post^2),  write = (eta | m) * post
//
// asks for all of it. The write of one step and the question of the next look at a connection in one visit. Episodes go
// two by two: weight, alpha and alpha's gradient, which they share, are fetched once for both. Backward never stores a
// trace per step nor runs a rule backwards: it rebuilds traces from the activity, in registers (see Backward).
//
// Sums are taken in an order that depends on the sizes alone: whatever the number of threads, the bits are the same.
// plastic/kernels/compiled.py builds this file and mirrors the struct Sequence.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using Int = std::int64_t;

enum Decay : Int { KEEP, CONSTANT, SQUARE };  // what retain takes eta times: 0, 1, post^2

template <class Real>
struct Sequence {
    Int steps, batch, units, decay, relu, threads;
    double clip;  // infinity: none
    const Real *input;      // (T, B, N)
    const bool *clamp;      // (T, B, N), or null
    const bool *clamped;    // (T,): every unit of every episode takes its input
    const Real *hidden;     // (B, N)
    const Real *weight, *alpha;  // (N, N)
    const Real *eta;             // (N,)
    const Real *m_weight, *m_bias;  // (N,), (1,): of the signal that takes eta's place in write; null: none
    Real *posts;            // (T, B, N)
    Real *trace;            // (B, N, N); forward rewrites it in place, backward reads the first one
    Int trace_stride;       // numbers from one episode's trace to the next; 0: a blank one for all
    Real *scratch;          // forward_scratch or backward_scratch numbers for each thread
    // what only backward has
    Int slots;                       // episodes are dealt to these in order, two by two
    const Real *g_posts;             // (T, B, N)
    Real *g_trace;                   // (B, N, N), in and out; null: zero comes in, and nothing is wanted
    Int g_trace_in;                  // whether g_trace holds the gradient of the last trace
    Real *g_input, *g_drive;         // (T, B, N); the same where nothing is clamped
    Real *g_hidden, *g_eta;          // (B, N)
    Real *g_weight, *g_alpha;        // (slots, N, N)
    Real *g_signal;                  // (T, B), of the signal before its tanh; null: none

    const Real *pre(Int t, Int b) const { return t ? posts + ((t - 1) * batch + b) * units : hidden + b * units; }
    Real bound() const { return Real(clip); }
    Int row(Int t, Int b) const { return (t * batch + b) * units; }
};

// Vectors of numbers: as wide as the processor has them; for the last columns a quarter of that, then one at a time.

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

template <class Real>
Real signal(const Sequence<Real> &s, const Real *post) {
    Real sum = *s.m_bias;
    for (Int j = 0; j < s.units; j++) sum += post[j] * s.m_weight[j];
    return tangent<Real, 1>(Vector<Real, 1>{sum})[0];
}

// A rule's two vectors; m, where there is a signal, in eta's place.
template <class Real>
void vectors(const Sequence<Real> &s, const Real *post, const Real *m, Real *retain, Real *write) {
    for (Int j = 0; j < s.units; j++) {
        Real y = post[j];
        retain[j] = s.decay == KEEP ? Real(1) : s.decay == CONSTANT ? 1 - s.eta[j] : 1 - s.eta[j] * y * y;
        write[j] = (m ? *m : s.eta[j]) * y;
    }
}

// work(first episode, episodes, slot, thread) for all pairs of episodes; a slot's pairs come one after another.
template <class Work>
void deal(Int batch, Int slots, Int threads, Work work) {
    Int pairs = (batch + 1) / 2, each = slots ? (pairs + slots - 1) / slots : 0;
    std::atomic<Int> next{0};
    auto serve = [&](Int thread) {
        for (Int slot; (slot = next++) < slots;)
            for (Int pair = slot * each; pair < (slot + 1) * each && pair < pairs; pair++)
                work(2 * pair, 2 * pair + 2 <= batch ? 2 : 1, slot, thread);
    };
    std::vector<std::thread> others;
    try {
        for (Int thread = 1; thread < threads && thread < slots; thread++) others.emplace_back(serve, thread);
    } catch (const std::system_error &) {  // no more threads are to be had: those that are there do all
    }
    serve(0);
    for (auto &other : others) other.join();
}

// Forward: E episodes at once.

template <class Real, int E>
struct Visit {  // what one visit of all connections does: write, answer, or both
    Real *trace[E];
    const Real *before[E], *retain[E], *write[E];  // the write of the step before
    const Real *pre[E];
    Real *answer[E];
};

template <bool Write, bool Answer, bool Clip, int R, class Real, int E>
inline void visit_rows(const Sequence<Real> &s, const Visit<Real, E> &v, Int i) {
    columns<WIDE<Real>>(0, s.units, [&](auto lanes, Int j) {
        constexpr int L = decltype(lanes)::value;
        using V = Vector<Real, L>;
        V sum[E], retain[E], write[E];
        for (int e = 0; e < E; e++) {
            if constexpr (Answer) sum[e] = load<L>(v.answer[e] + j);
            if constexpr (Write) retain[e] = load<L>(v.retain[e] + j), write[e] = load<L>(v.write[e] + j);
        }
        for (int r = 0; r < R; r++) {
            const Int at = (i + r) * s.units + j;
            V weight{}, alpha{};
            if constexpr (Answer) weight = load<L>(s.weight + at), alpha = load<L>(s.alpha + at);
            for (int e = 0; e < E; e++) {
                V h = load<L>(v.trace[e] + at);
                if constexpr (Write) {
                    h = h * retain[e] + v.before[e][i + r] * write[e];
                    if constexpr (Clip) h = clipped(h, s.bound());
                    store(v.trace[e] + at, h);
                }
                if constexpr (Answer) sum[e] += v.pre[e][i + r] * (weight + alpha * h);
            }
        }
        if constexpr (Answer)
            for (int e = 0; e < E; e++) store(v.answer[e] + j, sum[e]);
    });
}

template <bool Write, bool Answer, bool Clip, class Real, int E>
void visit(const Sequence<Real> &s, const Visit<Real, E> &v) {
    constexpr int R = 4;
    if (Answer)
        for (int e = 0; e < E; e++) std::memset(v.answer[e], 0, s.units * sizeof(Real));
    Int i = 0;
    for (; i + R <= s.units; i += R) visit_rows<Write, Answer, Clip, R>(s, v, i);
    for (; i < s.units; i++) visit_rows<Write, Answer, Clip, 1>(s, v, i);
}

template <class Real>
void respond(const Sequence<Real> &s, Int t, Int b, const Real *answer) {  // post from what the connections answer
    const Int at = s.row(t, b);
    const Real *input = s.input + at;
    Real *post = s.posts + at;
    columns<WIDE<Real>>(0, s.units, [&](auto lanes, Int j) {
        constexpr int L = decltype(lanes)::value;
        using V = Vector<Real, L>;
        V drive = load<L>(answer + j) + load<L>(input + j);
        store(post + j, s.relu ? (drive < 0 ? V{} : drive) : tangent<Real, L>(drive));
    });
    if (s.clamp)
        for (Int j = 0; j < s.units; j++)
            if (s.clamp[at + j]) post[j] = input[j];
}

template <bool Clip, int E, class Real>
void forward(const Sequence<Real> &s, Int b, Real *scratch) {
    Visit<Real, E> v;
    Real *retain[E], *write[E];
    for (int e = 0; e < E; e++) {
        v.trace[e] = s.trace + (b + e) * s.trace_stride;
        v.answer[e] = scratch + 3 * e * s.units;
        v.retain[e] = retain[e] = v.answer[e] + s.units;
        v.write[e] = write[e] = retain[e] + s.units;
        v.pre[e] = s.pre(0, b + e);
    }
    for (Int t = 0; t < s.steps; t++) {
        for (int e = 0; e < E; e++) v.before[e] = v.pre[e], v.pre[e] = s.pre(t, b + e);
        if (s.clamped[t]) {
            if (t) visit<true, false, Clip>(s, v);
            for (int e = 0; e < E; e++)
                std::memcpy(s.posts + s.row(t, b + e), s.input + s.row(t, b + e), s.units * sizeof(Real));
        } else {
            t ? visit<true, true, Clip>(s, v) : visit<false, true, Clip>(s, v);
            for (int e = 0; e < E; e++) respond(s, t, b + e, v.answer[e]);
        }
        for (int e = 0; e < E; e++) {
            const Real *post = s.posts + s.row(t, b + e);
            const Real m = s.m_weight ? signal(s, post) : Real(0);
            vectors(s, post, s.m_weight ? &m : nullptr, retain[e], write[e]);
        }
    }
    for (int e = 0; e < E; e++) v.before[e] = v.pre[e];
    visit<true, false, Clip>(s, v);
}

// Backward: E episodes at once, from the last step to the first.
//
// "raw" is the trace before a step as the write of the step before left it, not clipped yet: it tells the trace and
// where the clip cut. The raw traces of LEAF steps are rebuilt at once from the one before them, each connection in a
// register; that one from another, WAYS times as far back, and so on to the first. "slope" is the gradient of the raw
// trace. In one visit of step t a connection learns what it owes to its pre, alpha and the trace before; and its column
// gathers what step t - 1 owes to retain and write, as raw(t) = trace(t - 1) * retain + pre^T write tells
//     sum_i slope * trace(t - 1) = (sum_i slope * raw(t) - write * sum_i pre * slope) / retain
// where retain is not small (which would amplify rounding), so that the trace before need not be fetched.

constexpr Int LEAF = 4, WAYS = 8, SPAN = 256;  // SPAN: steps whose vectors a product finds in the cache

template <class Real>
constexpr Real SMALL = Real(0.25);

Int levels(Int steps) {
    Int count = 0;
    for (Int reach = LEAF; reach < steps; reach *= WAYS) count++;
    return count;
}

template <bool Clip, int E, class Real>
struct Backward {
    const Sequence<Real> &s;
    const Int b, size = s.units * s.units;
    Real *slope[E], *leaf[E], *kept[E], *retain[E], *write[E], *m[E];
    Real *owed[E], *asked[E], *g_pre[E], *g[E];  // column sums of slope * raw and pre * slope; of pre; of the drive
    Real *const g_weight, *const g_alpha;

    Backward(const Sequence<Real> &s, Int b, Real *scratch, Int slot)
        : s(s), b(b), g_weight(s.g_weight + slot * size), g_alpha(s.g_alpha + slot * size) {
        auto take = [&](Int count) {
            Real *room = scratch;
            scratch += count;
            return room;
        };
        const Int T = s.steps + 1, N = s.units;
        for (int e = 0; e < E; e++) {
            slope[e] = take(size), leaf[e] = take((LEAF - 1) * size), kept[e] = take(levels(T) * (WAYS - 1) * size);
            retain[e] = take(T * N), write[e] = take(T * N), m[e] = take(T);
            owed[e] = take(N), asked[e] = take(N), g_pre[e] = take(N), g[e] = take(N);
        }
    }

    static Int room(Int steps, Int units) {
        const Int T = steps + 1;
        return E * ((LEAF + levels(T) * (WAYS - 1)) * units * units + 2 * T * units + T + 4 * units);
    }

    void run() {
        const Int T = s.steps, N = s.units;
        const Real *first[E];
        for (int e = 0; e < E; e++) {
            first[e] = s.trace + (b + e) * s.trace_stride;
            for (Int t = 0; t < T; t++) {
                const Real *post = s.posts + s.row(t, b + e);
                if (s.m_weight) m[e][t] = signal(s, post);
                vectors(s, post, s.m_weight ? m[e] + t : nullptr, retain[e] + t * N, write[e] + t * N);
            }
            for (Real *sums : {owed[e], asked[e], g_pre[e], s.g_eta + (b + e) * N}) std::memset(sums, 0, N * sizeof(Real));
            if (s.g_trace_in) {
                std::memcpy(slope[e], s.g_trace + (b + e) * size, size * sizeof(Real));
                // a step after the last, which does nothing, takes the gradient of the last trace through its clip
                std::fill_n(retain[e] + T * N, N, Real(1));
                std::fill_n(write[e] + T * N, N, Real(0));
            } else {
                std::memset(slope[e], 0, size * sizeof(Real));
            }
        }
        sweep(first, 0, T + (s.g_trace_in ? 1 : 0), levels(T + 1));
        for (Int t = 0; t < T; t += SPAN) products(t, t + SPAN < T ? t + SPAN : T);
        for (int e = 0; e < E; e++) {
            std::memcpy(s.g_hidden + (b + e) * N, g_pre[e], N * sizeof(Real));
            if (s.g_trace) std::memcpy(s.g_trace + (b + e) * size, slope[e], size * sizeof(Real));
        }
    }

    // Steps [start, stop), given the raw trace before the first of them.
    void sweep(const Real *const (&from)[E], Int start, Int stop, Int level) {
        Int stride = 1;
        for (Int up = 0; up < level; up++) stride *= up ? WAYS : LEAF;
        const Int parts = (stop - start + stride - 1) / stride;
        Real *rebuilt[E];
        for (int e = 0; e < E; e++) {
            rebuilt[e] = level ? kept[e] + (level - 1) * (WAYS - 1) * size : leaf[e];
            if (parts > 1) rebuild(e, from[e], start, stride, parts - 1, rebuilt[e]);
        }
        for (Int part = parts; part--;) {
            const Real *raw[E];
            for (int e = 0; e < E; e++) raw[e] = part ? rebuilt[e] + (part - 1) * size : from[e];
            const Int begin = start + part * stride, end = begin + stride < stop ? begin + stride : stop;
            if (level)
                sweep(raw, begin, end, level - 1);
            else
                step(raw, begin);
        }
    }

    // ``count`` raw traces, each ``stride`` steps after the one before.
    void rebuild(int e, const Real *from, Int start, Int stride, Int count, Real *to) {
        columns<WIDE<Real>>(0, s.units, [&](auto lanes, Int j) {
            constexpr int R = 8;
            Int i = 0;
            for (; i + R <= s.units; i += R) rebuild_rows<R, decltype(lanes)::value>(e, from, start, stride, count, to, i, j);
            for (; i < s.units; i++) rebuild_rows<1, decltype(lanes)::value>(e, from, start, stride, count, to, i, j);
        });
    }

    template <int R, int L>
    void rebuild_rows(int e, const Real *from, Int t, Int stride, Int count, Real *to, Int i, Int j) {
        const Int N = s.units, at = i * N + j;
        Vector<Real, L> h[R];
        for (int r = 0; r < R; r++) h[r] = load<L>(from + at + r * N);
        for (Int c = 0; c < count; c++, to += size) {
            for (Int stop = t + stride; t < stop; t++) {
                const Real *pre = s.pre(t, b + e) + i;
                const auto keep = load<L>(retain[e] + t * N + j), add = load<L>(write[e] + t * N + j);
                for (int r = 0; r < R; r++) {
                    if (Clip && t) h[r] = clipped(h[r], s.bound());
                    h[r] = h[r] * keep + pre[r] * add;
                }
            }
            for (int r = 0; r < R; r++) store(to + at + r * N, h[r]);
        }
    }

    // Step t: first the rule, which read post last, then the response that made post.
    void step(const Real *const (&raw)[E], Int t) {
        const Real limit = t ? s.bound() : Real(INFINITY);  // the first trace came as it is
        for (int e = 0; e < E; e++)
            t < s.steps ? through_vectors(e, raw[e], t, limit) : (void)std::memset(g[e], 0, s.units * sizeof(Real));
        for (int e = 0; e < E; e++) {
            std::memset(owed[e], 0, s.units * sizeof(Real));
            std::memset(asked[e], 0, s.units * sizeof(Real));
        }
        constexpr int R = 2;
        Int i = 0;
        for (; i + R <= s.units; i += R) rows<R>(raw, t, i, limit);
        for (; i < s.units; i++) rows<1>(raw, t, i, limit);
    }

    // The gradients of eta, signal, input and drive from those of post, retain and write.
    void through_vectors(int e, const Real *raw, Int t, Real limit) {
        const Int N = s.units, at = s.row(t, b + e);
        const Real *post = s.posts + at, *keep = retain[e] + t * N, *add = write[e] + t * N;
        Real *g_eta = s.g_eta + (b + e) * N, *g_input = s.g_input + at, *g_drive = s.g_drive + at;
        const Real *g_post = s.g_posts + at;
        Real g_m = 0;
        for (Int j = 0; j < N; j++) {
            const Real y = post[j];
            Real reached = g_post[j] + g_pre[e][j];
            if (s.decay != KEEP) {
                Real g_retain = (owed[e][j] - add[j] * asked[e][j]) / keep[j];
                if (!(std::abs(keep[j]) >= SMALL<Real>)) g_retain = column(slope[e], raw, j, limit);
                g_eta[j] -= (s.decay == SQUARE ? y * y : Real(1)) * g_retain;
                if (s.decay == SQUARE) reached -= 2 * s.eta[j] * y * g_retain;
            }
            if (s.m_weight) {
                g_m += y * asked[e][j];
                reached += m[e][t] * asked[e][j];
            } else {
                g_eta[j] += y * asked[e][j];
                reached += s.eta[j] * asked[e][j];
            }
            g_input[j] = reached;
        }
        if (s.m_weight) {
            const Real g_signal = g_m * (1 - m[e][t] * m[e][t]);
            s.g_signal[t * s.batch + b + e] = g_signal;
            for (Int j = 0; j < N; j++) g_input[j] += g_signal * s.m_weight[j];
        }
        for (Int j = 0; j < N; j++) {
            const bool held = s.clamped[t] || (s.clamp && s.clamp[at + j]);
            const Real free = g_input[j] * (s.relu ? Real(post[j] > 0) : 1 - post[j] * post[j]);
            g[e][j] = held ? Real(0) : free;
            g_input[j] = held ? g_input[j] : free;
            g_drive[j] = g[e][j];
        }
    }

    // What the steps [start, stop) owe to weight: sum of pre^T g_drive, each connection in a register.
    void products(Int start, Int stop) {
        columns<WIDE<Real>>(0, s.units, [&](auto lanes, Int j) {
            constexpr int R = 8;
            Int i = 0;
            for (; i + R <= s.units; i += R) product_rows<R, decltype(lanes)::value>(start, stop, i, j);
            for (; i < s.units; i++) product_rows<1, decltype(lanes)::value>(start, stop, i, j);
        });
    }

    template <int R, int L>
    void product_rows(Int start, Int stop, Int i, Int j) {
        const Int N = s.units, at = i * N + j;
        Vector<Real, L> sum[R];
        for (int r = 0; r < R; r++) sum[r] = load<L>(g_weight + at + r * N);
        for (int e = 0; e < E; e++)
            for (Int t = start; t < stop; t++) {
                const auto drive = load<L>(s.g_drive + s.row(t, b + e) + j);
                const Real *pre = s.pre(t, b + e) + i;
                for (int r = 0; r < R; r++) sum[r] += pre[r] * drive;
            }
        for (int r = 0; r < R; r++) store(g_weight + at + r * N, sum[r]);
    }

    Real column(const Real *slope, const Real *raw, Int j, Real limit) const {
        Real sum = 0;
        for (Int i = 0; i < s.units; i++) {
            const Vector<Real, 1> h{raw[i * s.units + j]};
            sum += slope[i * s.units + j] * (Clip ? clipped(h, limit) : h)[0];
        }
        return sum;
    }

    template <int R>
    void rows(const Real *const (&raw)[E], Int t, Int i, Real limit) {
        Real sums[E][R] = {};
        span<R, WIDE<Real>>(raw, t, i, 0, limit, sums);
        for (int e = 0; e < E; e++)
            for (int r = 0; r < R; r++) g_pre[e][i + r] = sums[e][r];
    }

    template <int R, int L>
    void span(const Real *const (&raw)[E], Int t, Int i, Int j, Real limit, Real (&sums)[E][R]) {
        using V = Vector<Real, L>;
        const Int N = s.units;
        const Real *pre[E], *before[E], *keep[E], *add[E];
        const bool last = t == s.steps;  // the step that does nothing has no pre: its drive has no gradient
        for (int e = 0; e < E; e++) {
            pre[e] = s.pre(last ? t - 1 : t, b + e) + i;
            before[e] = s.pre(t ? t - 1 : 0, b + e) + i;
            keep[e] = retain[e] + t * N, add[e] = write[e] + t * N;
        }
        V sum[E][R] = {};
        for (; j + L <= N; j += L) {
            V drive[E], kept[E], added[E], owing[E], asking[E];
            for (int e = 0; e < E; e++) {
                drive[e] = load<L>(g[e] + j), kept[e] = load<L>(keep[e] + j), added[e] = load<L>(add[e] + j);
                owing[e] = load<L>(owed[e] + j), asking[e] = load<L>(asked[e] + j);
            }
            for (int r = 0; r < R; r++) {
                const Int at = (i + r) * N + j;
                const V weight = load<L>(s.weight + at), alpha = load<L>(s.alpha + at);
                V g_coefficient = load<L>(g_alpha + at);
                for (int e = 0; e < E; e++) {
                    const V had = load<L>(raw[e] + at), h = Clip ? clipped(had, limit) : had;
                    V d = load<L>(slope[e] + at);
                    sum[e][r] += d * added[e];
                    sum[e][r] += (weight + alpha * h) * drive[e];
                    const V outer = pre[e][r] * drive[e];
                    g_coefficient += h * outer;
                    d = d * kept[e] + alpha * outer;
                    if constexpr (Clip) d = (had <= limit) & (had >= -limit) ? d : V{};
                    store(slope[e] + at, d);
                    owing[e] += d * had;
                    asking[e] += before[e][r] * d;
                }
                store(g_alpha + at, g_coefficient);
            }
            for (int e = 0; e < E; e++) store(owed[e] + j, owing[e]), store(asked[e] + j, asking[e]);
        }
        for (int e = 0; e < E; e++)
            for (int r = 0; r < R; r++)
                for (int lane = 0; lane < L; lane++) sums[e][r] += sum[e][r][lane];
        if constexpr (L > 1)
            if (j < N) span<R, NARROWER<L>>(raw, t, i, j, limit, sums);
    }
};

template <bool Clip, class Real>
void run_forward(const Sequence<Real> &s) {
    deal(s.batch, (s.batch + 1) / 2, s.threads, [&](Int b, Int episodes, Int, Int thread) {
        Real *scratch = s.scratch + thread * 6 * s.units;
        episodes == 2 ? forward<Clip, 2>(s, b, scratch) : forward<Clip, 1>(s, b, scratch);
    });
}

template <bool Clip, class Real>
void run_backward(const Sequence<Real> &s) {
    const Int room = Backward<Clip, 2, Real>::room(s.steps, s.units);
    deal(s.batch, s.slots, s.threads, [&](Int b, Int episodes, Int slot, Int thread) {
        Real *scratch = s.scratch + thread * room;
        episodes == 2 ? Backward<Clip, 2, Real>(s, b, scratch, slot).run()
                      : Backward<Clip, 1, Real>(s, b, scratch, slot).run();
    });
}

}  // namespace

#define EXPORT(NAME, REAL)                                                                                         \
    extern "C" void forward_##NAME(const Sequence<REAL> *s) {                                                      \
        s->clip < INFINITY ? run_forward<true>(*s) : run_forward<false>(*s);                                 \
    }                                                                                                              \
    extern "C" void backward_##NAME(const Sequence<REAL> *s) {                                                     \
        s->clip < INFINITY ? run_backward<true>(*s) : run_backward<false>(*s);                               \
    }

EXPORT(float32, float)
EXPORT(float64, double)

extern "C" Int forward_scratch(Int, Int units) { return 6 * units; }
extern "C" Int backward_scratch(Int steps, Int units) { return Backward<false, 2, float>::room(steps, units); }
