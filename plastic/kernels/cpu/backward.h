// Backward: E episodes at once, from the last step to the first.
//
// "raw" is the trace before a step as the write of the step before left it, not clipped yet: it tells the trace and
// where the clip cut. The raw traces of LEAF steps are rebuilt at once from the one before them, each connection in a
// register; that one from another, WAYS times as far back, and so on to the first. "slope" is the gradient of the raw
// trace. In one visit of step t a connection learns what it owes to its pre, alpha and the trace before; and its column
// gathers what step t - 1 owes to retain and write, as raw(t) = trace(t - 1) * retain + pre^T write tells
//     sum_i slope * trace(t - 1) = (sum_i slope * raw(t) - write * sum_i pre * slope) / retain
// where retain is not small (which would amplify rounding), so that the trace before need not be fetched.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lanes.h"
#include "sequence.h"

namespace {

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
        // taken out of memory once: a store might change them, for all the compiler knows
        const Real *const weights = s.weight + i * N, *const alphas = s.alpha + i * N;
        const Real *raws[E], *keep[E], *add[E], *drives[E];
        Real *const coefficients = g_alpha + i * N, *slopes[E], *owes[E], *asks[E], pre[E][R], before[E][R];
        const bool last = t == s.steps;  // the step that does nothing has no pre: its drive has no gradient
        for (int e = 0; e < E; e++) {
            for (int r = 0; r < R; r++) {
                pre[e][r] = s.pre(last ? t - 1 : t, b + e)[i + r];
                before[e][r] = s.pre(t ? t - 1 : 0, b + e)[i + r];
            }
            raws[e] = raw[e] + i * N, slopes[e] = slope[e] + i * N, drives[e] = g[e];
            keep[e] = retain[e] + t * N, add[e] = write[e] + t * N, owes[e] = owed[e], asks[e] = asked[e];
        }
        V sum[E][R] = {};
        for (; j + L <= N; j += L) {
            V drive[E], kept[E], added[E], owing[E], asking[E];
            for (int e = 0; e < E; e++) {
                drive[e] = load<L>(drives[e] + j), kept[e] = load<L>(keep[e] + j), added[e] = load<L>(add[e] + j);
                owing[e] = load<L>(owes[e] + j), asking[e] = load<L>(asks[e] + j);
            }
            for (int r = 0; r < R; r++) {
                const Int at = r * N + j;
                const V weight = load<L>(weights + at), alpha = load<L>(alphas + at);
                V g_coefficient = load<L>(coefficients + at);
                for (int e = 0; e < E; e++) {
                    const V had = load<L>(raws[e] + at), h = Clip ? clipped(had, limit) : had;
                    V d = load<L>(slopes[e] + at);
                    sum[e][r] += d * added[e];
                    sum[e][r] += (weight + alpha * h) * drive[e];
                    const V outer = pre[e][r] * drive[e];
                    g_coefficient += h * outer;
                    d = d * kept[e] + alpha * outer;
                    if constexpr (Clip) d = (had <= limit) & (had >= -limit) ? d : V{};
                    store(slopes[e] + at, d);
                    owing[e] += d * had;
                    asking[e] += before[e][r] * d;
                }
                store(coefficients + at, g_coefficient);
            }
            for (int e = 0; e < E; e++) store(owes[e] + j, owing[e]), store(asks[e] + j, asking[e]);
        }
        for (int e = 0; e < E; e++)
            for (int r = 0; r < R; r++)
                for (int lane = 0; lane < L; lane++) sums[e][r] += sum[e][r][lane];
        if constexpr (L > 1)
            if (j < N) span<R, NARROWER<L>>(raw, t, i, j, limit, sums);
    }
};

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
