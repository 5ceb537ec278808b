// The library's own threads: the Executor of every call that does not bring one. Start reading at `run`.
#ifndef FLATCONV_PARALLEL_POOL_HPP
#define FLATCONV_PARALLEL_POOL_HPP

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "flatconv/flatconv.hpp"
#include "parallel/affinity.hpp"
#include "parallel/cpu_count.hpp"
#include "parallel/num_threads.hpp"

namespace flatconv::parallel {

/// Worker threads, hired when first asked for, that spin for some microseconds after their last work and then sleep.
///
/// A caller is participant 0 itself. Then it runs every participant that no worker has begun, and at last waits for
/// those that workers have. So any number of threads may call at the same time, `body` may call again, nobody waits
/// for someone who has not begun, and a pool that cannot have as many threads as it wants is slower, nothing else.
///
/// Callers and woken workers together are no more than the CPUs, however many participants there are: a CPU that goes
/// from thread to thread computes nothing meanwhile. For the same reason a worker that finds itself on the CPU of the
/// caller leaves it: Linux may wake it there though others are idle, and let the two share it for a long time.
class Pool final : public Executor {
  public:
    explicit Pool(int cpus = usable_cpus()) noexcept : cpus_(std::min(cpus, max_threads)) {}

    /// Joins the workers. No call may be running.
    ~Pool() override;

    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int concurrency() const noexcept override { return cpus_; }

    /// `body(context, 0)` runs on the calling thread. `body` must not throw, nor return in a forked child.
    void run(int participants, void (*body)(void* context, int participant), void* context) noexcept override;

  private:
    struct Job;
    using Lock = std::unique_lock<std::mutex>;

    void hire(int workers) noexcept;
    void work() noexcept;
    void serve(Job& job, CpuAvoidance& avoidance, Lock& lock) noexcept;
    void keep_clear(CpuAvoidance& avoidance, Lock& lock) noexcept;
    void park(Lock& lock) noexcept;

    void enqueue(Job& job) noexcept;
    int claim(Job& job) noexcept;
    int call_up() noexcept;
    void wake(int workers) noexcept;
    int idle_cpus() const noexcept;

    const int cpus_;

    // All of what follows changes under the mutex only.
    std::mutex mutex_;
    std::condition_variable wake_up_;
    std::vector<std::thread> workers_;
    Job* jobs_ = nullptr;  // those with unclaimed participants, oldest first; they live on their callers' stacks
    int callers_ = 0;
    int caller_cpu_ = unknown_cpu;  // of the last one to call
    int searching_ = 0;             // workers awake without work, or on their way to be
    int parked_ = 0;                // workers asleep
    int called_ = 0;                // workers called up that have not woken yet
    bool closing_ = false;

    // Read by the spinning workers without the mutex, hence away from its cache line.
    alignas(64) std::atomic<int> unclaimed_{0};  // participants of all `jobs_`
};

/// The pool of this process. A forked child gets a new one, whatever the parent's threads were doing at the time.
/// Throws std::bad_alloc if the first call, in each process, finds no memory.
Pool& shared_pool();

}  // namespace flatconv::parallel

#endif
