// Loops over independent tasks on an Executor, and their cancellation; called by conv/.
#ifndef FLATCONV_PARALLEL_PARALLEL_FOR_HPP
#define FLATCONV_PARALLEL_PARALLEL_FOR_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>

#include "base/float_environment.hpp"
#include "flatconv/flatconv.hpp"
#include "parallel/waiting.hpp"

namespace flatconv::parallel {

/// Whether a call is to end early. Made on the calling thread, which alone ever asks the application's `should_stop`:
/// an interpreter may allow no other. Tasks of more than some milliseconds should `poll` within.
class Cancellation {
  public:
    static constexpr auto interval = std::chrono::milliseconds(20);

    explicit Cancellation(bool (*should_stop)(void* context) = nullptr, void* context = nullptr) noexcept
        : should_stop_(should_stop), context_(context) {}

    /// Cheap, for any thread: on the calling one asks `should_stop` if the last time is long enough ago.
    bool poll() noexcept {
        if (stopped()) return true;
        if (!asks_here()) return false;
        const Clock::time_point now = Clock::now();
        if (next_ == Clock::time_point{})
            next_ = now + interval;  // not before: to read a clock costs what small calls do
        if (now < next_) return false;
        const bool stop = should_stop_(context_);
        next_ = Clock::now() + interval;
        if (stop) stopped_.store(true, std::memory_order_relaxed);
        return stop;
    }

    bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

    /// Whether this thread is the one that asks.
    bool asks_here() const noexcept { return should_stop_ != nullptr && std::this_thread::get_id() == caller_; }

  private:
    bool (*const should_stop_)(void*);
    void* const context_;
    const std::thread::id caller_ = std::this_thread::get_id();
    Clock::time_point next_{};  // used by the calling thread alone, from its first poll on
    std::atomic<bool> stopped_{false};
};

/// Calls `task(participant, index)` once for each index in [0, tasks), by at most `participants` participants in
/// [0, min(participants, tasks)); each takes the lowest index left when it is free. No two calls with the same
/// `participant` run at the same time. Tasks run in the default floating-point environment and must not throw.
///
/// Once `cancellation` is stopped no further task begins. The calling thread polls it between tasks, and while it waits
/// for the others' last ones.
template <class F>
void for_each_task(Executor& executor, int participants, std::int64_t tasks, F&& task,
                   Cancellation* cancellation = nullptr) {
    struct Loop {
        std::int64_t tasks;
        std::remove_reference_t<F>& task;
        Cancellation* cancellation;
        std::mutex mutex{};
        std::condition_variable all_done{};
        alignas(64) std::atomic<std::int64_t> next{0};  // on a cache line of its own
        std::atomic<int> active{0};                     // participants that have begun and not finished

        void take_part(int participant) {
            const Clock::time_point start = Clock::now();
            active.fetch_add(1);
            work(participant);
            const bool asks = cancellation != nullptr && cancellation->asks_here();
            if (active.fetch_sub(1) == 1) {
                // Under the mutex, so that it cannot fall between the caller's look at `active` and its sleep.
                const std::lock_guard lock(mutex);
                all_done.notify_one();
            } else if (asks) {
                wait_for_others(start);
            }
        }

        void work(int participant) {
            const DefaultFloatEnvironment environment;
            for (;;) {
                const std::int64_t index = next.fetch_add(1, std::memory_order_relaxed);
                if (index >= tasks || (cancellation != nullptr && cancellation->poll())) return;
                task(participant, index);
            }
        }

        // The executor waits as well: this only keeps asking where the others take long. Mostly they do not, and a
        // sleep would cost more than what is left for them to do.
        void wait_for_others(Clock::time_point start) {
            spin_until(spin_deadline(start), [this] { return active.load() == 0; });
            std::unique_lock lock(mutex);
            while (!all_done.wait_for(lock, Cancellation::interval, [this] { return active.load() == 0; })) {
                cancellation->poll();
            }
        }
    };
    const int needed = static_cast<int>(std::min<std::int64_t>(participants, tasks));
    if (needed > 1) {
        Loop loop{tasks, task, cancellation};
        executor.run(
            needed, [](void* context, int participant) { static_cast<Loop*>(context)->take_part(participant); }, &loop);
    } else if (needed == 1) {
        // Nobody to share with: no counters to keep, which the smallest calls notice.
        const DefaultFloatEnvironment environment;
        for (std::int64_t index = 0; index < tasks && !(cancellation && cancellation->poll()); ++index) task(0, index);
    }
}

}  // namespace flatconv::parallel

#endif
