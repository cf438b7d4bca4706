// Threads that stay: a step is done in less time than it takes to make a thread.

#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "lanes.h"

namespace {

class Crew {
  public:
    // work(part, thread) for all parts, by this thread, number 0, and as many others as come while it is at it. Parts
    // of a size fall to the same thread every time, which has them in its cache; who is done early helps the others.
    template <class Work>
    static void deal(Int parts, Int threads, Work work) {
        threads = std::clamp<Int>(threads, 1, std::max<Int>(parts, 1));
        std::vector<std::atomic<Int>> next(threads);
        for (Int owner = 0; owner < threads; owner++) next[owner] = owner * parts / threads;
        run(threads, [&](Int thread) {
            for (Int turn = 0; turn < threads; turn++) {
                const Int owner = (thread + turn) % threads, end = (owner + 1) * parts / threads;
                for (Int part; (part = next[owner]++) < end;) work(part, thread);
            }
        });
    }

  private:
    using Work = std::function<void(Int)>;

    static void run(Int threads, const Work &work) {
        Crew &crew = own();
        std::unique_lock<std::mutex> turn(crew.turn, std::defer_lock);
        if (threads < 2 || !turn.try_lock()) return work(0);  // somebody else's work is under way: do without
        crew.grow(threads - 1);
        crew.open(threads, work);
        work(0);
        crew.close();
    }

    static constexpr std::chrono::microseconds PATIENCE{200};  // an idle thread watches so long before it sleeps

    std::mutex turn, door;
    std::condition_variable bell;
    std::atomic<Int> calls{0}, inside{0};
    Int hired = 0, asleep = 0, wanted = 0;
    const Work *work = nullptr;  // null: the door is closed

    static Crew &own() {  // a forked process has none of its parent's threads; never taken apart: threads hold on to it
        static std::atomic<Crew *> crew{new Crew};
        static std::atomic<pid_t> home{getpid()};
        if (home.load() != getpid()) crew = new Crew, home = getpid();
        return *crew.load();
    }

    void grow(Int others) {
        try {
            for (; hired < others; hired++) std::thread(&Crew::serve, this, hired + 1).detach();
        } catch (const std::system_error &) {  // no more threads are to be had: those that are there do all
        }
    }

    void open(Int threads, const Work &given) {
        std::lock_guard<std::mutex> lock(door);
        wanted = threads, work = &given, calls++;
        if (asleep) bell.notify_all();
    }

    void close() {  // nobody comes in any more; those inside are waited for
        {
            std::lock_guard<std::mutex> lock(door);
            work = nullptr;
        }
        while (inside.load()) std::this_thread::yield();
    }

    void serve(Int number) {
        for (Int seen = 0;;) {
            const auto until = std::chrono::steady_clock::now() + PATIENCE;
            while (calls.load() == seen && std::chrono::steady_clock::now() < until) std::this_thread::yield();
            std::unique_lock<std::mutex> lock(door);
            asleep++;
            bell.wait(lock, [&] { return calls.load() != seen; });
            asleep--;
            seen = calls.load();
            if (!work || number >= wanted) continue;
            const Work &given = *work;
            inside++;
            lock.unlock();
            given(number);
            inside--;
        }
    }
};

}  // namespace
