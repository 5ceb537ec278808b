// Where threads run: how many CPUs they may use, and on which one they are. Called by cpu_count.cpp and the pool.
#ifndef FLATCONV_PARALLEL_AFFINITY_HPP
#define FLATCONV_PARALLEL_AFFINITY_HPP

#include <memory>

namespace flatconv::parallel {

inline constexpr int unknown_cpu = -1;

/// How many CPUs the calling thread's affinity mask has; 0 where that is not known.
int affinity_cpus() noexcept;

/// The CPU that the calling thread runs on, or `unknown_cpu`.
int current_cpu() noexcept;

/// Keeps the thread that uses it off one CPU: a mask without that CPU stands in for the thread's own.
///
/// A mask that somebody else has given the thread meanwhile counts as its own.
class CpuAvoidance {
  public:
    CpuAvoidance() noexcept;
    ~CpuAvoidance();
    CpuAvoidance(const CpuAvoidance&) = delete;
    CpuAvoidance& operator=(const CpuAvoidance&) = delete;

    /// If the calling thread runs on this CPU and may run on another, it goes there, and stays off this one until it is
    /// to avoid another. Costs some nanoseconds if it does not run there.
    void leave(int cpu) noexcept;

  private:
    struct Masks;
    std::unique_ptr<Masks> masks_;  // made when first needed
};

}  // namespace flatconv::parallel

#endif
