// How many threads a call gets.
#include "conv/runtime.hpp"

#include <algorithm>
#include <string>

namespace flatconv {

namespace {

/// Waking a thread takes about as long as this many multiply-adds.
constexpr double least_work_per_thread = 1e6;

}  // namespace

Status check_threads(const Options& options) {
    if (options.threads >= 0 && options.threads <= parallel::max_threads) return {};
    return {StatusCode::invalid_argument, "threads must be from 1 to " + std::to_string(parallel::max_threads) +
                                              ", got " + std::to_string(options.threads)};
}

int threads_for(const Options& options, double work) noexcept {
    const int allowed = options.threads ? options.threads : get_num_threads();
    return int(std::min(double(allowed), std::max(1.0, work / least_work_per_thread)));
}

}  // namespace flatconv
