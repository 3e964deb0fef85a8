#pragma once

#include <deque>
#include <future>
#include <utility>

namespace sarde {

/// Runs tasks on threads of their own, at most `at_once` of them, and hands over their results in the order
/// in which the tasks were given: for members of a disk, which take a millisecond or more each. An exception
/// of a task leaves the call that would have handed over its result.
template <typename Result>
class OrderedTasks {
 public:
  explicit OrderedTasks(std::size_t at_once) : at_once_(at_once) {}

  /// Starts `task`; first hands the oldest result to `take` if as many as may run are under way.
  template <typename Task, typename Take>
  void add(Task&& task, Take&& take) {
    while (running_.size() >= at_once_) take_oldest(take);
    running_.push_back(std::async(std::launch::async, std::forward<Task>(task)));
  }

  template <typename Take>
  void finish(Take&& take) {
    while (!running_.empty()) take_oldest(take);
  }

 private:
  template <typename Take>
  void take_oldest(Take&& take) {
    auto oldest = std::move(running_.front());
    running_.pop_front();
    take(oldest.get());
  }

  std::size_t at_once_;
  std::deque<std::future<Result>> running_;
};

}  // namespace sarde
