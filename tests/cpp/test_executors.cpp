// The executors of examples/cpp: every participant once, callers at the same time, calls within calls, the same bits;
// and one whose participants take turns, so that any of them may do all of the work.
#include <doctest/doctest.h>
#include <flatconv/flatconv.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "kernel_sets.hpp"
#include "random_call.hpp"
#include "thread_pool.hpp"
#ifdef FLATCONV_HAVE_TBB
#include "tbb_executor.hpp"
#endif

using namespace flatconv;
using namespace flatconv::tests;

namespace {

template <int threads>
struct Pooled {
    examples::ThreadPool pool{threads};
    examples::ThreadPoolExecutor executor{pool};
};

struct PooledOf3 : Pooled<3> {};
struct PooledOf0 : Pooled<0> {};
#ifdef FLATCONV_HAVE_TBB
struct Tbb {
    examples::TbbExecutor executor;
};
#define EXECUTORS PooledOf3, PooledOf0, Tbb
#else
#define EXECUTORS PooledOf3, PooledOf0
#endif

/// One participant after the other: the first one finds all tasks, and the others none.
class InTurns final : public Executor {
  public:
    InTurns(int participants, int first) : participants_(participants), first_(first) {}

    int concurrency() const noexcept override { return participants_; }
    void run(int participants, void (*body)(void*, int), void* context) noexcept override {
        for (int i = 0; i < participants; ++i) body(context, (first_ + i) % participants);
    }

  private:
    const int participants_, first_;
};

void run(Executor& executor, int participants, const std::function<void(int)>& body) {
    executor.run(
        participants, [](void* context, int i) { (*static_cast<const std::function<void(int)>*>(context))(i); },
        const_cast<std::function<void(int)>*>(&body));
}

}  // namespace

TEST_CASE_TEMPLATE("executors run every participant once", T, EXECUTORS) {
    T owner;
    CHECK(owner.executor.concurrency() >= 1);
    for (const int participants : {1, 2, 3, 4, 50}) {
        std::vector<std::atomic<int>> seen(static_cast<std::size_t>(participants));
        run(owner.executor, participants, [&](int i) { ++seen[std::size_t(i)]; });
        for (const std::atomic<int>& count : seen) CHECK(count == 1);
    }
}

TEST_CASE_TEMPLATE("executors serve callers at the same time, and calls within calls", T, EXECUTORS) {
    T owner;
    std::atomic<int> count{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller) {
        callers.emplace_back([&] {
            for (int round = 0; round < 50; ++round) {
                run(owner.executor, 4, [&](int) { run(owner.executor, 3, [&](int) { ++count; }); });
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(count == 4 * 50 * 4 * 3);
}

TEST_CASE_TEMPLATE("convolutions on executors have the reference's bits", T, EXECUTORS) {
    ConvProblem problem;
    problem.batch = 3;
    problem.in_channels = 5, problem.out_channels = 7;
    problem.input = {1, 40, 37}, problem.kernel = {1, 3, 3};
    problem.padding = PaddingRule::same;
    const std::vector<float> x = random_numbers<float>(3 * 5 * 40 * 37, 1);
    const std::vector<float> weight = random_numbers<float>(7 * 5 * 3 * 3, 2);
    std::vector<float> expected(3 * 7 * 40 * 37);
    Options options;
    options.algorithm = Algorithm::reference;
    REQUIRE(conv(problem, {x.data(), weight.data(), {}}, expected.data(), options));

    T owner;
    options.algorithm = Algorithm::automatic;
    options.executor = &owner.executor;
    options.work_per_thread = 0;
    for (const int threads : {0, 1, 2, 3}) {
        options.threads = threads;
        std::vector<float> y(expected.size(), std::numeric_limits<float>::quiet_NaN());
        REQUIRE(conv(problem, {x.data(), weight.data(), {}}, y.data(), options));
        CHECK(same_bits(y, expected));
    }
}

TEST_CASE_TEMPLATE("any participant may do all of the work, in its part of a workspace that held anything", T, float,
                   double) {
    const IsaReset reset;
    for (unsigned seed = 0; seed < 12; ++seed) {
        CAPTURE(seed);
        RandomCall<T> random(seed, seed % 3 == 2);
        const IsaInfo isa = instruction_sets()[seed % instruction_sets().size()];
        if (!isa.usable || !set_isa(isa.name)) continue;
        CAPTURE(isa.name);
        for (const Algorithm algorithm : all_algorithms) {
            CAPTURE(int(algorithm));
            if (algorithm == Algorithm::reference) continue;  // without a workspace, and slow
            for (int first = 0; first < 3; ++first) {
                CAPTURE(first);
                InTurns executor(3, first);
                Options options;
                options.algorithm = algorithm;
                options.executor = &executor;
                options.work_per_thread = 0;
                std::size_t needed = 0;
                REQUIRE(workspace_bytes(random.problem, needed, options, Operation::conv, random.inputs()));
                std::vector<std::byte> workspace(needed + 1, std::byte(first == 1 ? 0x7F : 0xFF));
                options.workspace = workspace.data();
                options.workspace_bytes = workspace.size();
                random.check(Layout::rows,
                             [&](const Array& y) { return conv(random.problem, random.inputs(), y, options); });
            }
        }
    }
}
