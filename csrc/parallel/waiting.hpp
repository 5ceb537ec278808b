// How threads wait without sleeping; for the pool, and for callers whose tasks others still compute.
#ifndef FLATCONV_PARALLEL_WAITING_HPP
#define FLATCONV_PARALLEL_WAITING_HPP

#include <algorithm>
#include <chrono>
#include <thread>

namespace flatconv::parallel {

using Clock = std::chrono::steady_clock;

// Longer than what a caller does between two layers of a network, and about what a sleep and a wake-up cost.
inline constexpr auto least_spin = std::chrono::microseconds(30);

// A thread that finds nothing to do for so long can as well sleep.
inline constexpr auto most_spin = std::chrono::milliseconds(2);

inline void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");  // `yield` does nothing on most of these CPUs
#endif
}

/// Until when a thread that began to work at `start` and has nothing left to do waits awake for others who do the same
/// work: as long again as it took.
inline Clock::time_point spin_deadline(Clock::time_point start) noexcept {
    const Clock::time_point now = Clock::now();
    return now + std::clamp<Clock::duration>(now - start, least_spin, most_spin);
}

/// Waits until `condition()` or the deadline. The CPU is given away to a thread that waits for it, which may be the
/// very one that is to make the condition true.
template <class Condition>
void spin_until(Clock::time_point deadline, Condition condition) noexcept {
    for (;;) {
        for (int i = 0; i < 32; ++i) {
            if (condition()) return;
            cpu_pause();
        }
        if (Clock::now() >= deadline) return;
        std::this_thread::yield();
    }
}

}  // namespace flatconv::parallel

#endif
