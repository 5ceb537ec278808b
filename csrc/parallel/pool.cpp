// The thread pool: callers publish jobs in `run`, workers live in `work`. Called by parallel_for.hpp.
#include "parallel/pool.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cfenv>
#include <exception>
#include <memory>

#include "parallel/waiting.hpp"

namespace flatconv {

Executor::~Executor() = default;

namespace parallel {
namespace {

// The mutex is only ever held for some nanoseconds, unless its holder is off its CPU.
void acquire(std::unique_lock<std::mutex>& lock) noexcept {
    for (int i = 0; i < 32; ++i) {
        if (lock.try_lock()) return;
        cpu_pause();
    }
    lock.lock();
}

// Threads made meanwhile leave the application's signals to its own threads; faults still reach its crash handler.
class SignalsBlocked {
  public:
    SignalsBlocked() noexcept {
        sigset_t signals;
        sigfillset(&signals);
        for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&signals, fault);
        pthread_sigmask(SIG_SETMASK, &signals, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

}  // namespace

struct Pool::Job {
    void (*body)(void*, int);
    void* context;
    int participants;
    int next = 1;                    // the first participant that nobody has claimed
    std::atomic<int> in_workers{0};  // claimed by workers, not finished; changes under the mutex
    std::condition_variable finished{};
    Job* after = nullptr;
};

void Pool::run(int participants, void (*body)(void*, int), void* context) noexcept {
    if (participants <= 1) {
        if (participants == 1) body(context, 0);
        return;
    }
    Job job{body, context, participants};
    Lock lock(mutex_, std::defer_lock);
    acquire(lock);
    ++callers_;
    caller_cpu_ = current_cpu();
    hire(std::min(participants, cpus_) - 1);
    enqueue(job);
    const int called = call_up();
    lock.unlock();
    wake(called);

    const Clock::time_point start = Clock::now();
    body(context, 0);
    acquire(lock);
    while (job.next < participants) {
        const int participant = claim(job);
        lock.unlock();
        body(context, participant);
        acquire(lock);
    }
    const auto is_finished = [&job] { return job.in_workers.load(std::memory_order_relaxed) == 0; };
    if (!is_finished() && idle_cpus() >= 0) {
        lock.unlock();
        spin_until(spin_deadline(start), is_finished);
        acquire(lock);
    }
    --callers_;
    wake(call_up());  // this CPU is free now, for a job that had found none
    job.finished.wait(lock, is_finished);
}

void Pool::work() noexcept {
    std::fesetenv(FE_DFL_ENV);  // not that of the thread that happened to hire this one
    CpuAvoidance avoidance;
    Clock::time_point deadline{}, latest{};  // for what spins now, and for all that does until there is work again
    Lock lock(mutex_);
    for (;;) {
        if (jobs_ != nullptr) {
            serve(*jobs_, avoidance, lock);
            deadline = Clock::now() + least_spin;
            latest = deadline + most_spin;
        } else if (closing_) {
            return;
        } else if (idle_cpus() >= 0 && Clock::now() < deadline) {
            lock.unlock();
            spin_until(deadline, [this] { return unclaimed_.load(std::memory_order_relaxed) > 0; });
            acquire(lock);
            // Who still computes for the last call will soon be back with the next one.
            if (callers_ > 0) deadline = std::min(Clock::now() + least_spin, latest);
        } else {
            park(lock);
            // The caller may have done all itself before this thread got the CPU that they share.
            if (jobs_ == nullptr) keep_clear(avoidance, lock);
            deadline = latest = Clock::now() + least_spin;
        }
    }
}

void Pool::serve(Job& job, CpuAvoidance& avoidance, Lock& lock) noexcept {
    --searching_;
    const int participant = claim(job);
    job.in_workers.fetch_add(1, std::memory_order_relaxed);
    keep_clear(avoidance, lock);
    lock.unlock();
    job.body(job.context, participant);
    acquire(lock);
    // The caller needs the mutex to return, so `job` lives until this thread lets go of it.
    if (job.in_workers.fetch_sub(1, std::memory_order_relaxed) == 1) job.finished.notify_one();
    ++searching_;
}

void Pool::keep_clear(CpuAvoidance& avoidance, Lock& lock) noexcept {
    const int cpu = caller_cpu_;
    if (cpu == unknown_cpu || current_cpu() != cpu) return;
    lock.unlock();
    avoidance.leave(cpu);
    acquire(lock);
}

void Pool::park(Lock& lock) noexcept {
    --searching_;
    ++parked_;
    wake_up_.wait(lock, [this] { return called_ > 0 || closing_; });
    if (called_ > 0) {
        --called_;
    } else {
        --parked_;
        ++searching_;
    }
}

void Pool::enqueue(Job& job) noexcept {
    Job** end = &jobs_;
    while (*end != nullptr) end = &(*end)->after;
    *end = &job;
    unclaimed_.fetch_add(job.participants - 1, std::memory_order_relaxed);
}

int Pool::claim(Job& job) noexcept {
    const int participant = job.next++;
    unclaimed_.fetch_sub(1, std::memory_order_relaxed);
    if (job.next == job.participants) {
        Job** link = &jobs_;
        while (*link != &job) link = &(*link)->after;
        *link = job.after;
    }
    return participant;
}

// Counts sleeping workers as searching, no more than can run at once: the threads that are awake take the other
// participants one after the other, without the cost of switching between threads. `wake`, a system call for each,
// is apart so that it need not hold the mutex, which the woken want at once.
int Pool::call_up() noexcept {
    const int missing = unclaimed_.load(std::memory_order_relaxed) - searching_;
    const int workers = std::max(0, std::min({missing, parked_, idle_cpus()}));
    parked_ -= workers;
    searching_ += workers;
    called_ += workers;
    return workers;
}

void Pool::wake(int workers) noexcept {
    for (int i = 0; i < workers; ++i) wake_up_.notify_one();
}

// Between calls, one is kept for the application. Below zero, who spins keeps from its CPU the very thread that it
// waits for. A thread in nested calls counts once for each: they may find less help than there could be.
int Pool::idle_cpus() const noexcept {
    const int awake = static_cast<int>(workers_.size()) - parked_;
    return cpus_ - awake - std::max(callers_, 1);
}

void Pool::hire(int workers) noexcept {
    if (static_cast<int>(workers_.size()) >= workers) return;
    const SignalsBlocked guard;
    try {
        while (static_cast<int>(workers_.size()) < workers) {
            workers_.emplace_back([this] { work(); });
            ++searching_;
        }
    } catch (const std::exception&) {
        // No more threads or memory: those that exist will do, and the next call asks again.
    }
}

Pool::~Pool() {
    {
        const Lock lock(mutex_);
        closing_ = true;
    }
    wake_up_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

namespace {

std::atomic<Pool*> current_pool{nullptr};

// A child has none of its parent's threads, and one of them may have held the mutex: the old pool is left as it is.
// Registered when the library is loaded, hence before there is a pool.
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); });

}  // namespace

// Never destroyed: other threads may still be calling while the process exits, and the workers sleep until it is gone.
// No guarded static: a child forked amid its initialization would wait for it for ever.
Pool& shared_pool() {
    Pool* pool = current_pool.load(std::memory_order_acquire);
    if (pool != nullptr) return *pool;
    auto fresh = std::make_unique<Pool>();
    if (current_pool.compare_exchange_strong(pool, fresh.get())) pool = fresh.release();
    return *pool;
}

}  // namespace parallel
}  // namespace flatconv
