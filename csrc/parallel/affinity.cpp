// The calling thread's affinity mask and CPU, as Linux tells them; elsewhere nothing is known, and nobody moves.
#include "parallel/affinity.hpp"

#if defined(__linux__)

#include <sched.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

namespace flatconv::parallel {
namespace {

// A set of CPUs of any size, as the kernel's calls want it.
class CpuSet {
  public:
    // The calling thread's mask; empty if it cannot be told.
    static CpuSet current() {
        constexpr std::size_t most = (std::size_t{1} << 20) / CHAR_BIT;
        CpuSet set;
        // The kernel answers EINVAL while the set is smaller than its own.
        for (std::size_t bytes = 128; bytes <= most; bytes *= 2) {
            set.words_.assign(bytes / sizeof(std::uint64_t), 0);
            if (sched_getaffinity(0, bytes, set.data()) == 0) return set;
            if (errno != EINVAL) break;
        }
        return CpuSet();
    }

    bool impose() const noexcept { return sched_setaffinity(0, bytes(), data()) == 0; }
    int count() const noexcept { return CPU_COUNT_S(bytes(), data()); }
    void remove(int cpu) noexcept { CPU_CLR_S(static_cast<std::size_t>(cpu), bytes(), data()); }
    bool operator==(const CpuSet& other) const noexcept { return words_ == other.words_; }

  private:
    std::size_t bytes() const noexcept { return words_.size() * sizeof(std::uint64_t); }
    cpu_set_t* data() noexcept { return reinterpret_cast<cpu_set_t*>(words_.data()); }
    const cpu_set_t* data() const noexcept { return reinterpret_cast<const cpu_set_t*>(words_.data()); }

    std::vector<std::uint64_t> words_;
};

}  // namespace

int affinity_cpus() noexcept {
    try {
        return CpuSet::current().count();
    } catch (const std::exception&) {
        return 0;
    }
}

int current_cpu() noexcept { return sched_getcpu(); }

struct CpuAvoidance::Masks {
    CpuSet own;
    CpuSet imposed;
};

void CpuAvoidance::leave(int cpu) noexcept {
    if (cpu == unknown_cpu || current_cpu() != cpu) return;
    try {
        if (masks_ == nullptr) masks_ = std::make_unique<Masks>();
        CpuSet present = CpuSet::current();
        if (!(present == masks_->imposed)) masks_->own = std::move(present);
        masks_->imposed = masks_->own;
        masks_->imposed.remove(cpu);
        if (masks_->imposed.count() > 0) masks_->imposed.impose();
    } catch (const std::exception&) {
        // No memory: the thread stays where it is.
    }
}

}  // namespace flatconv::parallel

#else

namespace flatconv::parallel {

struct CpuAvoidance::Masks {};

int affinity_cpus() noexcept { return 0; }
int current_cpu() noexcept { return unknown_cpu; }
void CpuAvoidance::leave(int) noexcept {}

}  // namespace flatconv::parallel

#endif

namespace flatconv::parallel {

CpuAvoidance::CpuAvoidance() noexcept = default;
CpuAvoidance::~CpuAvoidance() = default;

}  // namespace flatconv::parallel
