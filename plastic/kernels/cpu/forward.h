// Forward: E episodes at once.

#pragma once

#include <cstring>

#include "lanes.h"
#include "sequence.h"

namespace {

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

template <bool Clip, class Real>
void run_forward(const Sequence<Real> &s) {
    deal(s.batch, (s.batch + 1) / 2, s.threads, [&](Int b, Int episodes, Int, Int thread) {
        Real *scratch = s.scratch + thread * 6 * s.units;
        episodes == 2 ? forward<Clip, 2>(s, b, scratch) : forward<Clip, 1>(s, b, scratch);
    });
}

}  // namespace
