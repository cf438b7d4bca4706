// Plastic sequences step by step, for processors: the trace of an episode is read and written once a step, in the cache.
//
// B episodes, T steps, N units; matrices are (pre, post), row by row. A trace of 200 units is 160 KB, and a step of
//
//     post = f(pre @ (weight + alpha * trace) + input)
//     trace' = clip(trace * retain + pre^T write),  retain = 1 - eta * (0 | 1 | post^2),  write = (eta | m) * post
//
// asks for all of it. The write of one step and the question of the next look at a connection in one visit. Episodes go
// two by two: weight, alpha and alpha's gradient, which they share, are fetched once for both. Backward never stores a
// trace per step nor runs a rule backwards: it rebuilds traces from the activity, in registers (see backward.h).
//
// Sums are taken in an order that depends on the sizes alone: whatever the number of threads, the bits are the same.
// plastic/kernels/build.py compiles this file; compiled.py beside it mirrors the struct Sequence.

#include <cmath>

#include "backward.h"
#include "forward.h"
#include "penalty.h"

#define EXPORT(NAME, REAL)                                                                                         \
    extern "C" void forward_##NAME(const Sequence<REAL> *s) {                                                      \
        s->clip < INFINITY ? run_forward<true>(*s) : run_forward<false>(*s);                                 \
    }                                                                                                              \
    extern "C" void live_##NAME(const Sequence<REAL> *s) {                                                         \
        s->clip < INFINITY ? run_live<true>(*s) : run_live<false>(*s);                                       \
    }                                                                                                              \
    extern "C" void backward_##NAME(const Sequence<REAL> *s) {                                                     \
        s->clip < INFINITY ? run_backward<true>(*s) : run_backward<false>(*s);                               \
    }                                                                                                              \
    extern "C" void pull_##NAME(Int count, Int threads, REAL *gradient, const REAL *parameter, const REAL *anchor, \
                                const REAL *importance, double factor, double rate, REAL *path) {                  \
        pull<REAL>(count, threads, gradient, parameter, anchor, importance, factor, rate, path);                   \
    }

EXPORT(float32, float)
EXPORT(float64, double)

extern "C" Int backward_scratch(Int steps, Int units) { return Backward<false, 2, float>::room(steps, units); }
