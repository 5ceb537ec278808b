// The number of threads of a call that does not say; behind the public get_num_threads and set_num_threads.
#ifndef FLATCONV_PARALLEL_NUM_THREADS_HPP
#define FLATCONV_PARALLEL_NUM_THREADS_HPP

#include "flatconv/flatconv.hpp"

namespace flatconv::parallel {

/// The most threads of one call, the calling one included.
inline constexpr int max_threads = 1024;

/// FLATCONV_NUM_THREADS, else OMP_NUM_THREADS, else the usable CPUs; 0 where the first is set to what is no number of
/// threads. Both are read once in a process.
int default_threads() noexcept;

/// An error where `default_threads()` is 0.
Status check_default_threads();

/// `default_threads()` for given values of the two variables (null: not set). A list "4,2" counts as its first element,
/// more than `max_threads` as `max_threads`, and blanks as not set. Whatever else is not a positive integer gives 0 in
/// our own variable, and is ignored in the other one, which is for others, too.
int choose_threads(const char* flatconv_num_threads, const char* omp_num_threads, int cpus) noexcept;

}  // namespace flatconv::parallel

#endif
