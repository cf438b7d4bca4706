// A quadratic penalty in one pass over the parameters, where operations of their own take a dozen.

#pragma once

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

#include "lanes.h"

namespace {

constexpr Int SHARE = 1 << 16;  // numbers that are worth a thread

// work(from, to) for all of count numbers; what a number becomes does not depend on how they are shared out.
template <class Work>
void share(Int count, Int threads, Work work) {
    threads = std::clamp<Int>(count / SHARE, 1, threads);
    Int each = (count + threads - 1) / threads;
    std::vector<std::thread> others;
    Int begun = 1;
    try {
        for (; begun < threads; begun++)
            others.emplace_back(work, begun * each, std::min(count, (begun + 1) * each));
    } catch (const std::system_error &) {  // no more threads are to be had: this one does the rest
        work(begun * each, count);
    }
    work(0, std::min(count, each));
    for (auto &other : others) other.join();
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
