// A quadratic penalty in one pass over the parameters, where operations of their own take a dozen.

#pragma once

#include <algorithm>

#include "crew.h"
#include "lanes.h"

namespace {

constexpr Int PART = 1 << 15;  // numbers that a thread takes at a time

// work(from, to) for all of count numbers.
template <class Work>
void share(Int count, Int threads, Work work) {
    Crew::deal((count + PART - 1) / PART, threads,
               [&](Int part, Int) { work(part * PART, std::min(count, (part + 1) * PART)); });
}

// gradient = t = (gradient + k d) / (1 + rate k), k = factor importance, d = parameter - anchor;
// path, unless it is null, += rate t times the gradient that was.
template <class Real>
void pull(Int count, Int threads, Real *__restrict gradient, const Real *parameter, const Real *anchor,
          const Real *importance, Real factor, Real rate, Real *__restrict path) {
    share(count, threads, [=](Int from, Int to) {
        for (Int i = from; i < to; i++) {
            Real k = factor * importance[i], g = gradient[i];
            gradient[i] = (g + k * (parameter[i] - anchor[i])) / (1 + rate * k);
            if (path) path[i] += rate * gradient[i] * g;
        }
    });
}

}  // namespace
