#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

#include "core/foundation/error.hpp"

namespace sarde {

/// Threads that work on slots, whose results are taken in the order in which the slots were filled. A slot
/// keeps its buffers from one use to the next. Only the owner's thread calls these functions.
template <typename Slot>
class OrderedWorkers {
 public:
  /// `make_work` is called in each thread and gives what that thread does to a slot. `take` gets the slots
  /// done, in order, in the owner's thread. What either throws leaves the owner's next call.
  template <typename MakeWork>
  OrderedWorkers(std::size_t threads, MakeWork make_work, std::function<void(Slot&)> take)
      : take_(std::move(take)), slots_(2 * threads + 1) {
    try {
      for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this, make_work] { run(make_work); });
    } catch (const std::system_error& error) {
      stop();
      throw Error(std::string("start a thread: ") + error.what());
    }
  }

  OrderedWorkers(const OrderedWorkers&) = delete;
  OrderedWorkers& operator=(const OrderedWorkers&) = delete;

  ~OrderedWorkers() { stop(); }

  /// A slot to fill; waits for the oldest one, and takes it, if none is free.
  Slot& next() {
    if (filled_ - taken_ == slots_.size()) take_oldest();
    return place(filled_).slot;
  }

  /// Hands the slot that next() gave to the workers.
  void submit() {
    {
      const std::lock_guard lock(mutex_);
      place(filled_).is_done = false;
      ++filled_;
    }
    changed_.notify_all();
  }

  /// Takes all that are under way.
  void finish() {
    while (taken_ != filled_) take_oldest();
  }

 private:
  struct Place {
    Slot slot;
    bool is_done = false;
    std::exception_ptr failure;
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  Place& place(std::size_t number) { return slots_[number % slots_.size()]; }

  void take_oldest() {
    auto& oldest = place(taken_);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return oldest.is_done; });
    }
    if (oldest.failure) std::rethrow_exception(oldest.failure);
    take_(oldest.slot);
    ++taken_;
  }

  template <typename MakeWork>
  void run(MakeWork& make_work) {
    // The owner reads, hashes and writes what all wait for: it goes first where there are more threads than
    // processors. (On Linux the niceness is the thread's own.)
    constexpr int behind_the_owner = 10;
    static_cast<void>(::nice(behind_the_owner));
    std::function<void(Slot&)> work;
    try {
      work = make_work();
    } catch (...) {
      // Told by the first slot that comes here.
      work = [failure = std::current_exception()](Slot&) { std::rethrow_exception(failure); };
    }
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || begun_ != filled_; });
      if (stopping_) return;
      auto& mine = place(begun_++);
      lock.unlock();
      std::exception_ptr failure;
      try {
        work(mine.slot);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      mine.failure = failure;
      mine.is_done = true;
      lock.unlock();
      changed_.notify_all();
    }
  }

  std::function<void(Slot&)> take_;
  std::vector<Place> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t filled_ = 0;  ///< slots handed over so far
  std::size_t begun_ = 0;   ///< of these, by workers begun
  std::size_t taken_ = 0;   ///< of these, taken
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sarde
