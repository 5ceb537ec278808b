// Tests of csrc/parallel/pool.hpp and parallel_for.hpp; run by main.cpp.
#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "parallel/parallel_for.hpp"
#include "parallel/pool.hpp"

extern "C" void __tsan_init() __attribute__((weak));

namespace {

using flatconv::parallel::Cancellation;
using flatconv::parallel::for_each_task;
using flatconv::parallel::max_threads;
using flatconv::parallel::Pool;
using flatconv::parallel::shared_pool;
using std::chrono::milliseconds;

// More than there may be on the testing machine, so that its threads do run at the same time.
constexpr int many_cpus = 8;

// Which lets no forked child of a threaded process have threads.
const bool under_thread_sanitizer = __tsan_init != nullptr;

// Calls `body(participant)` for each participant.
template <class F>
void run(flatconv::Executor& executor, int participants, F&& body) {
    executor.run(participants, [](void* context, int participant) { (*static_cast<F*>(context))(participant); }, &body);
}

bool runs_each_once(flatconv::Executor& executor, int participants) {
    std::vector<std::atomic<int>> counts(static_cast<std::size_t>(participants));
    run(executor, participants, [&](int participant) { ++counts[static_cast<std::size_t>(participant)]; });
    for (const auto& count : counts) {
        if (count != 1) return false;
    }
    return true;
}

// Waits until `condition` holds; false if it does not within some seconds.
template <class F>
bool comes_true(F&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
}

// Whether a forked child that evaluates `check` finds it true, in time.
template <class F>
bool holds_in_child(F&& check) {
    const pid_t child = fork();
    if (child == 0) _exit(check() ? 0 : 1);
    int status = 0;
    const bool ended = comes_true([&] { return waitpid(child, &status, WNOHANG) == child; });
    if (!ended) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

TEST_CASE("every participant runs once") {
    for (int cpus : {1, 2, many_cpus, 33}) {
        Pool pool(cpus);
        for (int participants = 0; participants <= 33; ++participants) {
            for (int repeat = 0; repeat < 10; ++repeat) CHECK(runs_each_once(pool, participants));
        }
    }
    CHECK(runs_each_once(shared_pool(), 3000));
    CHECK(shared_pool().concurrency() == flatconv::parallel::usable_cpus());
}

TEST_CASE("participant 0 runs on the calling thread") {
    Pool pool(many_cpus);
    for (int participants : {1, 2, 5}) {
        const std::thread::id caller = std::this_thread::get_id();
        bool on_caller = false;
        run(pool, participants, [&](int participant) {
            if (participant == 0) on_caller = std::this_thread::get_id() == caller;
        });
        CHECK(on_caller);
    }
}

TEST_CASE("participants run at the same time, each on a thread, when there are CPUs enough") {
    Pool pool(many_cpus);
    std::atomic<int> arrived{0};
    std::atomic<int> met{0};
    run(pool, many_cpus, [&](int) {
        ++arrived;
        if (comes_true([&] { return arrived == many_cpus; })) ++met;
    });
    CHECK(met == many_cpus);
}

TEST_CASE("there are no more threads than CPUs") {
    Pool pool(2);
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    run(pool, 20, [&](int) {
        const int now = ++running;
        for (int known = most; known < now && !most.compare_exchange_weak(known, now);) {
        }
        std::this_thread::sleep_for(milliseconds(1));
        --running;
    });
    CHECK(most <= 2);
}

TEST_CASE("callers from many threads share the workers") {
    for (int cpus : {2, many_cpus, 64}) {
        Pool pool(cpus);
        std::atomic<int> wrong{0};
        std::vector<std::thread> callers;
        for (int caller = 0; caller < 32; ++caller) {
            callers.emplace_back([&pool, &wrong, caller] {
                for (int call = 0; call < 200; ++call) wrong += !runs_each_once(pool, 1 + (caller + call) % 9);
            });
        }
        for (std::thread& caller : callers) caller.join();
        CHECK(wrong == 0);
    }
}

TEST_CASE("calls nest, on callers and on workers") {
    Pool pool(many_cpus);
    for (int repeat = 0; repeat < 50; ++repeat) {
        std::atomic<int> leaves{0};
        run(pool, 5, [&](int) { run(pool, 4, [&](int) { run(pool, 3, [&](int) { ++leaves; }); }); });
        CHECK(leaves == 5 * 4 * 3);
    }
}

TEST_CASE("pools come and go") {
    for (int repeat = 0; repeat < 100; ++repeat) {
        Pool pool(many_cpus);
        if (repeat % 2 == 0) CHECK(runs_each_once(pool, 4));
    }
}

TEST_CASE("a forked child has a pool of its own" * doctest::skip(under_thread_sanitizer)) {
    CHECK(runs_each_once(shared_pool(), 4));
    CHECK(holds_in_child([] {
        return runs_each_once(shared_pool(), 4) && holds_in_child([] { return runs_each_once(shared_pool(), 4); });
    }));
    CHECK(runs_each_once(shared_pool(), 4));
}

TEST_CASE("a child may be forked while other threads are in the pool" * doctest::skip(under_thread_sanitizer)) {
    std::atomic<bool> enough{false};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&enough] {
            while (!enough) run(shared_pool(), 3, [](int) {});
        });
    }
    int good = 0;
    for (int child = 0; child < 50; ++child) good += holds_in_child([] { return runs_each_once(shared_pool(), 4); });
    enough = true;
    for (std::thread& caller : callers) caller.join();
    CHECK(good == 50);
}

#if defined(__GLIBC__)

TEST_CASE("without new threads the caller does the work") {
    pthread_attr_t normal;
    pthread_attr_t excessive;
    REQUIRE(pthread_getattr_default_np(&normal) == 0);
    pthread_attr_init(&excessive);
    pthread_attr_setstacksize(&excessive, std::size_t{1} << 50);
    REQUIRE(pthread_setattr_default_np(&excessive) == 0);
    Pool pool(many_cpus);
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> on_caller{0};
    run(pool, 5, [&](int) { on_caller += std::this_thread::get_id() == caller; });
    pthread_setattr_default_np(&normal);
    pthread_attr_destroy(&excessive);
    pthread_attr_destroy(&normal);
    CHECK(on_caller == 5);
    CHECK(runs_each_once(pool, 5));
}

#endif

TEST_CASE("an idle pool burns no CPU") {
    Pool pool(many_cpus);
    CHECK(runs_each_once(pool, many_cpus));
    std::this_thread::sleep_for(milliseconds(50));
    const double before = cpu_seconds();
    std::this_thread::sleep_for(milliseconds(200));
    CHECK(cpu_seconds() - before < 0.05);
}

TEST_CASE("workers leave signals to the application's threads, faults apart") {
    Pool pool(many_cpus);
    const std::thread::id caller = std::this_thread::get_id();
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, nullptr, &before);
    std::atomic<int> arrived{0};
    std::atomic<int> right{0};
    run(pool, many_cpus, [&](int) {
        ++arrived;
        comes_true([&] { return arrived == many_cpus; });  // else one thread might take all
        sigset_t blocked;
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        const auto has = [&blocked](int signal) { return sigismember(&blocked, signal) == 1; };
        const bool is_worker = std::this_thread::get_id() != caller;
        right += is_worker && has(SIGINT) && has(SIGTERM) && has(SIGALRM) && has(SIGCHLD) && !has(SIGSEGV);
    });
    CHECK(right == many_cpus - 1);
    sigset_t after;
    pthread_sigmask(SIG_BLOCK, nullptr, &after);
    for (int signal : {SIGINT, SIGTERM, SIGALRM, SIGCHLD}) {
        CHECK(sigismember(&before, signal) == sigismember(&after, signal));
    }
}

TEST_CASE("for_each_task runs every task once and no participant twice at the same time") {
    Pool pool(many_cpus);
    for (std::int64_t tasks : {0, 1, 2, 3, 7, 100, 5000}) {
        for (int participants : {1, 2, 3, many_cpus, 20}) {
            std::vector<std::atomic<int>> counts(static_cast<std::size_t>(tasks));
            std::array<std::atomic<int>, 20> busy{};
            std::atomic<int> wrong{0};
            for_each_task(pool, participants, tasks, [&](int participant, std::int64_t index) {
                wrong += participant < 0 || participant >= participants || participant >= tasks;
                auto& mine = busy[static_cast<std::size_t>(participant)];
                wrong += mine++ != 0;
                ++counts[static_cast<std::size_t>(index)];
                --mine;
            });
            for (const auto& count : counts) wrong += count != 1;
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("cancellation asks the calling thread only, seldom, and ends the loop") {
    struct Application {
        std::thread::id caller = std::this_thread::get_id();
        int asked = 0;
        int foreign = 0;
    } application;
    Cancellation cancellation(
        [](void* context) {
            auto& asked = *static_cast<Application*>(context);
            asked.foreign += std::this_thread::get_id() != asked.caller;
            return ++asked.asked == 3;
        },
        &application);
    Pool pool(many_cpus);
    std::atomic<int> tasks{0};
    const auto start = std::chrono::steady_clock::now();
    for_each_task(
        pool, 4, 1000000,
        [&](int, std::int64_t) {
            ++tasks;
            std::this_thread::sleep_for(milliseconds(1));
        },
        &cancellation);
    CHECK(cancellation.stopped());
    CHECK(cancellation.poll());
    CHECK(application.asked == 3);
    CHECK(application.foreign == 0);
    CHECK(tasks < 1000000);
    CHECK(std::chrono::steady_clock::now() - start >= 3 * Cancellation::interval);
}

TEST_CASE("without a callback nothing is cancelled") {
    Cancellation cancellation;
    CHECK_FALSE(cancellation.poll());
}
