// How many CPUs this process may use; the pool and the default number of threads ask.
#ifndef FLATCONV_PARALLEL_CPU_COUNT_HPP
#define FLATCONV_PARALLEL_CPU_COUNT_HPP

#include <limits>
#include <string>
#include <string_view>

namespace flatconv::parallel {

inline constexpr int unlimited_cpus = std::numeric_limits<int>::max();

/// The CPUs of the calling thread's affinity mask, capped by the cgroup's quota; at least 1. Reads files: not for hot
/// paths.
int usable_cpus() noexcept;

/// The least CPU quota among this process's cgroups (v1 and v2) and their ancestors, in whole CPUs, rounded up.
/// `/proc` and the mounted hierarchies are looked for below `root`.
int cgroup_cpus(const std::string& root);

/// ceil(quota / period), at least 1; `unlimited_cpus` unless both are positive integers ("max" and "-1" mean no limit).
int quota_cpus(std::string_view quota, std::string_view period) noexcept;

}  // namespace flatconv::parallel

#endif
