// flatconv on the threads of oneTBB, in whatever arena the caller is.
#ifndef EXAMPLES_TBB_EXECUTOR_HPP
#define EXAMPLES_TBB_EXECUTOR_HPP

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <flatconv/flatconv.hpp>

namespace examples {

class TbbExecutor final : public flatconv::Executor {
  public:
    int concurrency() const noexcept override { return tbb::this_task_arena::max_concurrency(); }

    void run(int participants, void (*body)(void* context, int participant), void* context) noexcept override {
        // Isolated: a thread that waits here must not begin other work of the application, which might wait for this.
        tbb::this_task_arena::isolate(
            [=] { tbb::parallel_for(0, participants, [=](int i) { body(context, i); }, tbb::simple_partitioner()); });
    }
};

}  // namespace examples

#endif
