// The number of threads of a call that does not say; behind the public get_num_threads and set_num_threads.
#ifndef FLATCONV_PARALLEL_NUM_THREADS_HPP
#define FLATCONV_PARALLEL_NUM_THREADS_HPP

namespace flatconv::parallel {

/// The most threads of one call, the calling one included.
inline constexpr int max_threads = 1024;

/// FLATCONV_NUM_THREADS, else OMP_NUM_THREADS, else the usable CPUs. Both are read once in a process.
int default_threads() noexcept;

/// The same for given values of the two variables (null: not set). A list "4,2" counts as its first element; whatever
/// is not a positive integer is ignored; more than `max_threads` is `max_threads`.
int choose_threads(const char* flatconv_num_threads, const char* omp_num_threads, int cpus) noexcept;

}  // namespace flatconv::parallel

#endif
