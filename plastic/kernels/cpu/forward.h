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

// Pointers and what is known of a row are taken out of memory once: a store might change them, for all the compiler knows.
template <bool Write, bool Answer, bool Clip, int R, class Real, int E>
inline void visit_rows(const Sequence<Real> &s, const Visit<Real, E> &v, Int i) {
    const Int N = s.units;
    const Real clip = s.bound(), *const weights = s.weight + i * N, *const alphas = s.alpha + i * N;
    const Real *retains[E], *writes[E];
    Real *traces[E], *answers[E], pre[E][R], before[E][R];
    for (int e = 0; e < E; e++) {
        traces[e] = v.trace[e] + i * N, answers[e] = v.answer[e], retains[e] = v.retain[e], writes[e] = v.write[e];
        for (int r = 0; r < R; r++) {
            if constexpr (Answer) pre[e][r] = v.pre[e][i + r];
            if constexpr (Write) before[e][r] = v.before[e][i + r];
        }
    }
    columns<WIDE<Real>>(0, N, [&](auto lanes, Int j) {
        constexpr int L = decltype(lanes)::value;
        using V = Vector<Real, L>;
        V sum[E], retain[E], write[E];
        for (int e = 0; e < E; e++) {
            if constexpr (Answer) sum[e] = load<L>(answers[e] + j);
            if constexpr (Write) retain[e] = load<L>(retains[e] + j), write[e] = load<L>(writes[e] + j);
        }
        for (int r = 0; r < R; r++) {
            const Int at = r * N + j;
            V weight{}, alpha{};
            if constexpr (Answer) weight = load<L>(weights + at), alpha = load<L>(alphas + at);
            for (int e = 0; e < E; e++) {
                V h = load<L>(traces[e] + at);
                if constexpr (Write) {
                    h = h * retain[e] + before[e][r] * write[e];
                    if constexpr (Clip) h = clipped(h, clip);
                    store(traces[e] + at, h);
                }
                if constexpr (Answer) sum[e] += pre[e][r] * (weight + alpha * h);
            }
        }
        if constexpr (Answer)
            for (int e = 0; e < E; e++) store(answers[e] + j, sum[e]);
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

template <class Real>
void vectors_of(const Sequence<Real> &s, const Real *post, Real *retain, Real *write) {
    const Real m = s.m_weight ? signal(s, post) : Real(0);
    vectors(s, post, s.m_weight ? &m : nullptr, retain, write);
}

template <int E, class Real>
struct Episodes : Visit<Real, E> {  // E of them from b on, with room for what a step needs
    Real *own_retain[E], *own_write[E];

    Episodes(const Sequence<Real> &s, Int b, Real *scratch) {
        for (int e = 0; e < E; e++) {
            this->trace[e] = s.trace + (b + e) * s.trace_stride;
            this->answer[e] = scratch + 3 * e * s.units;
            this->retain[e] = own_retain[e] = this->answer[e] + s.units;
            this->write[e] = own_write[e] = own_retain[e] + s.units;
            this->pre[e] = s.pre(0, b + e);
        }
    }
};

template <bool Clip, int E, class Real>
void forward(const Sequence<Real> &s, Int b, Real *scratch) {
    Episodes<E, Real> v(s, b, scratch);
    for (Int t = 0; t < s.steps; t++) {
        for (int e = 0; e < E; e++) v.before[e] = v.pre[e], v.pre[e] = s.pre(t, b + e);
        if (s.clamped[t]) {
            if (t) visit<true, false, Clip, Real, E>(s, v);
            for (int e = 0; e < E; e++)
                std::memcpy(s.posts + s.row(t, b + e), s.input + s.row(t, b + e), s.units * sizeof(Real));
        } else {
            t ? visit<true, true, Clip, Real, E>(s, v) : visit<false, true, Clip, Real, E>(s, v);
            for (int e = 0; e < E; e++) respond(s, t, b + e, v.answer[e]);
        }
        for (int e = 0; e < E; e++) vectors_of(s, s.posts + s.row(t, b + e), v.own_retain[e], v.own_write[e]);
    }
    for (int e = 0; e < E; e++) v.before[e] = v.pre[e];
    visit<true, false, Clip, Real, E>(s, v);
}

// One step as one acts: the write that the step before owes, and the answer; without a step the write alone.
template <bool Clip, int E, class Real>
void live(const Sequence<Real> &s, Int b, Real *scratch) {
    Episodes<E, Real> v(s, b, scratch);
    for (int e = 0; s.before && e < E; e++) {
        v.before[e] = s.before + (b + e) * s.units;
        vectors_of(s, v.pre[e], v.own_retain[e], v.own_write[e]);
    }
    if (!s.steps) return visit<true, false, Clip, Real, E>(s, v);
    s.before ? visit<true, true, Clip, Real, E>(s, v) : visit<false, true, Clip, Real, E>(s, v);
    for (int e = 0; e < E; e++) respond(s, 0, b + e, v.answer[e]);
}

template <bool Clip, class Real>
void run_live(const Sequence<Real> &s) {
    deal(s.batch, (s.batch + 1) / 2, s.threads, [&](Int b, Int episodes, Int, Int thread) {
        Real *scratch = s.scratch + thread * 6 * s.units;
        episodes == 2 ? live<Clip, 2>(s, b, scratch) : live<Clip, 1>(s, b, scratch);
    });
}

template <bool Clip, class Real>
void run_forward(const Sequence<Real> &s) {
    deal(s.batch, (s.batch + 1) / 2, s.threads, [&](Int b, Int episodes, Int, Int thread) {
        Real *scratch = s.scratch + thread * 6 * s.units;
        episodes == 2 ? forward<Clip, 2>(s, b, scratch) : forward<Clip, 1>(s, b, scratch);
    });
}

}  // namespace
