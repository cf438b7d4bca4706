// What a sequence is, the two vectors of its rule, and how its episodes are dealt to threads.

#pragma once

#include "crew.h"
#include "lanes.h"

namespace {

enum Decay : Int { KEEP, CONSTANT, SQUARE };  // what retain takes eta times: 0, 1, post^2

template <class Real>
struct Sequence {
    Int steps, batch, units, decay, relu, threads;
    double clip;  // infinity: none
    const Real *input;      // (T, B, N)
    const bool *clamp;      // (T, B, N), or null
    const bool *clamped;    // (T,): every unit of every episode takes its input
    const Real *hidden;     // (B, N)
    const Real *before;     // (B, N): what live, which has hidden as post, owes a write from; null: nothing
    const Real *weight, *alpha;  // (N, N)
    const Real *eta;             // (N,)
    const Real *m_weight, *m_bias;  // (N,), (1,): of the signal that takes eta's place in write; null: none
    Real *posts;            // (T, B, N)
    Real *trace;            // (B, N, N); forward rewrites it in place, backward reads the first one
    Int trace_stride;       // numbers from one episode's trace to the next; 0: a blank one for all
    Real *scratch;          // for each thread: forward 6 N numbers, backward backward_scratch
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
    Crew::deal(slots, threads, [&](Int slot, Int thread) {
        for (Int pair = slot * each; pair < (slot + 1) * each && pair < pairs; pair++)
            work(2 * pair, 2 * pair + 2 <= batch ? 2 : 1, slot, thread);
    });
}

}  // namespace
