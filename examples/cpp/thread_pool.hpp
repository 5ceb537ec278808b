// An application's own thread pool, as plain as they come, and the few lines that let flatconv compute on it.
#ifndef EXAMPLES_THREAD_POOL_HPP
#define EXAMPLES_THREAD_POOL_HPP

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <flatconv/flatconv.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace examples {

/// Threads that work off a queue of jobs, first come, first served.
class ThreadPool {
  public:
    explicit ThreadPool(int threads) {
        for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    }

    /// Does what is still in the queue, then joins.
    ~ThreadPool() {
        {
            const std::lock_guard lock(mutex_);
            closing_ = true;
        }
        wake_up_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const noexcept { return static_cast<int>(threads_.size()); }

    void submit(std::function<void()> job) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        wake_up_.notify_one();
    }

  private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_up_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
            if (jobs_.empty()) return;
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::vector<std::thread> threads_;
    std::deque<std::function<void()>> jobs_;
    std::mutex mutex_;
    std::condition_variable wake_up_;
    bool closing_ = false;
};

/// flatconv on that pool. The calling thread takes part, so a call goes on where every thread of the pool is busy, even
/// with calls of its own.
class ThreadPoolExecutor final : public flatconv::Executor {
  public:
    explicit ThreadPoolExecutor(ThreadPool& pool) : pool_(pool) {}

    int concurrency() const noexcept override { return pool_.size() + 1; }

    void run(int participants, void (*body)(void* context, int participant), void* context) noexcept override {
        Call call{participants, body, context};
        std::shared_ptr<Call> shared;
        try {
            shared = std::make_shared<Call>(participants, body, context);
            for (int i = 1; i < participants; ++i) pool_.submit([shared] { shared->take_part(); });
        } catch (const std::exception&) {
            // Less memory means fewer helpers, nothing else.
        }
        (shared ? *shared : call).take_part_and_wait();
    }

  private:
    /// One call of `run`. Jobs may be reached long after it has returned: they find nothing left, and let go of it.
    class Call {
      public:
        Call(int participants, void (*body)(void*, int), void* context)
            : participants_(participants), body_(body), context_(context) {}

        void take_part() {
            for (int i = next_++; i < participants_; i = next_++) {
                body_(context_, i);
                const std::lock_guard lock(mutex_);
                if (++returned_ == participants_) all_returned_.notify_one();
            }
        }

        void take_part_and_wait() {
            take_part();
            std::unique_lock lock(mutex_);
            all_returned_.wait(lock, [this] { return returned_ == participants_; });
        }

      private:
        const int participants_;
        void (*const body_)(void*, int);
        void* const context_;
        std::atomic<int> next_{0};
        std::mutex mutex_;
        std::condition_variable all_returned_;
        int returned_ = 0;
    };

    ThreadPool& pool_;
};

}  // namespace examples

#endif
