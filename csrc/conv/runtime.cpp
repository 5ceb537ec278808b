// How many threads a call gets.
#include "conv/runtime.hpp"

#include <algorithm>
#include <string>

namespace flatconv {

Status check_threads(const Options& options) {
    if (options.threads < 0 || options.threads > parallel::max_threads) {
        return {StatusCode::invalid_argument, "threads must be from 1 to " + std::to_string(parallel::max_threads) +
                                                  ", got " + std::to_string(options.threads)};
    }
    const bool takes_default = options.threads == 0 && !options.executor && get_num_threads() == 0;
    return takes_default ? parallel::check_default_threads() : Status{};
}

int threads_for(const Options& options, double work) noexcept {
    int allowed = options.threads;
    if (allowed == 0) allowed = options.executor ? std::max(1, options.executor->concurrency()) : get_num_threads();
    if (options.work_per_thread <= 0) return allowed;
    return int(std::min(double(allowed), std::max(1.0, work / options.work_per_thread)));
}

int participants_for(const Options& options, int threads) {
    if (threads == 1) return 1;
    return std::clamp(executor_of(options).concurrency(), 1, threads);
}

Executor& executor_of(const Options& options) { return options.executor ? *options.executor : parallel::shared_pool(); }

}  // namespace flatconv
