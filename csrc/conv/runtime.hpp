// How the public entries run their tasks: as many threads as the work is worth, on the caller's executor or ours.
#ifndef FLATCONV_CONV_RUNTIME_HPP
#define FLATCONV_CONV_RUNTIME_HPP

#include <flatconv/flatconv.hpp>

#include "conv/status.hpp"
#include "parallel/parallel_for.hpp"
#include "parallel/pool.hpp"

namespace flatconv {

/// What runs the tasks of one call, and what may end it early.
struct Runtime {
    Executor& executor;
    parallel::Cancellation& cancellation;
};

Status check_threads(const Options& options);

/// The threads that a call may use: those that it asks for, but no more than `work` multiply-adds (or as much) can
/// feed.
int threads_for(const Options& options, double work) noexcept;

/// How many of them can run at the same time.
int participants_for(const Options& options, int threads);

/// The caller's executor, or ours.
Executor& executor_of(const Options& options);

/// Gives `body` a Runtime, and tells whether it was stopped.
template <typename Body>
Status with_runtime(const Options& options, const Body& body) {
    parallel::Cancellation cancellation(options.should_stop, options.stop_context);
    body(Runtime{executor_of(options), cancellation});
    if (cancellation.stopped()) return {StatusCode::cancelled, "stopped by should_stop"};
    return {};
}

}  // namespace flatconv

#endif
