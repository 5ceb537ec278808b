// Tests of csrc/parallel/affinity.hpp, and of where the pool's workers run; run by main.cpp.
#include "parallel/affinity.hpp"

#include <doctest/doctest.h>

#if defined(__linux__)

#include <sched.h>

#include <atomic>
#include <thread>

#include "parallel/pool.hpp"

namespace {

using namespace flatconv::parallel;

// Calls `body` in a thread of its own, whose mask may be changed.
template <class F>
void in_thread(F&& body) {
    std::thread thread(body);
    thread.join();
}

cpu_set_t mask() {
    cpu_set_t set;
    REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
    return set;
}

cpu_set_t only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

void impose(const cpu_set_t& set) { REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0); }

}  // namespace

TEST_CASE("a thread leaves a CPU, and stays off it") {
    if (affinity_cpus() < 2) return;  // there is nowhere to go
    in_thread([] {
        const cpu_set_t own = mask();
        CpuAvoidance avoidance;
        const int first = current_cpu();
        REQUIRE(CPU_ISSET(first, &own));
        avoidance.leave(first + 1);  // it is not there
        CHECK(CPU_COUNT(&own) == affinity_cpus());
        avoidance.leave(first);
        const int second = current_cpu();
        CHECK(second != first);
        CHECK(affinity_cpus() == CPU_COUNT(&own) - 1);

        avoidance.leave(second);  // which allows the first again
        CHECK(current_cpu() != second);
        const cpu_set_t now = mask();
        CHECK(CPU_ISSET(first, &now));
        CHECK(!CPU_ISSET(second, &now));
        CHECK(affinity_cpus() == CPU_COUNT(&own) - 1);
    });
}

TEST_CASE("a thread with one CPU stays there") {
    in_thread([] {
        const int cpu = current_cpu();
        impose(only(cpu));
        CpuAvoidance avoidance;
        avoidance.leave(cpu);
        CHECK(current_cpu() == cpu);
        CHECK(affinity_cpus() == 1);
    });
}

TEST_CASE("a mask that somebody gives a thread remains its own") {
    if (affinity_cpus() < 2) return;
    in_thread([] {
        CpuAvoidance avoidance;
        const int first = current_cpu();
        avoidance.leave(first);
        impose(only(first));  // the only one that it has now
        avoidance.leave(first);
        CHECK(current_cpu() == first);
        CHECK(affinity_cpus() == 1);
    });
}

TEST_CASE("a worker does not share the caller's CPU") {
    if (affinity_cpus() < 2) return;
    in_thread([] {
        Pool pool(2);
        std::atomic<int> worker_cpu{unknown_cpu};
        const auto call = [&] {
            worker_cpu = unknown_cpu;
            pool.run(
                2,
                [](void* context, int participant) {
                    auto& cpu = *static_cast<std::atomic<int>*>(context);
                    if (participant == 1) cpu = current_cpu();
                    while (cpu == unknown_cpu) std::this_thread::yield();
                },
                &worker_cpu);
        };
        call();  // hires the worker, which may go wherever this thread may
        const cpu_set_t own = mask();
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (!CPU_ISSET(cpu, &own)) continue;
            impose(only(cpu));
            for (int i = 0; i < 20; ++i) {
                call();
                CHECK(worker_cpu != cpu);
            }
        }
    });
}

#endif
