#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "core/image/store/partial_image.hpp"

namespace sarde {

/// Which layers of an image are there, and which one is brought next: first what somebody waits for, then
/// what earlier boots needed, in their order, then the rest. Several threads ask for layers, one brings them.
class LayerQueue {
 public:
  /// `expected`: what is likely to be asked for, in this order.
  LayerQueue(const PartialImage& image, std::vector<LayerPlace> expected);

  enum class Presence { there, missing, lost };

  /// Whether all of these layers are there. Those that are not are brought first from now on, unless no
  /// layers come any more.
  Presence ask_for(const std::vector<LayerPlace>& layers);

  /// What is to be brought now. Waits until there is something, for `patience` at most; nothing then, or if
  /// all layers are there. While nobody has asked for a layer that was expected, the link is left alone for a
  /// moment after each that somebody waited for: the next such one is not to wait for one that nobody needs.
  std::optional<LayerPlace> next(std::chrono::milliseconds patience);

  /// A layer is there now.
  void arrived(LayerPlace layer);

  /// No more layers come.
  void give_up();

  [[nodiscard]] bool is_complete() const;

  /// The layers that somebody has asked for, in the order of that.
  [[nodiscard]] std::vector<LayerPlace> touched() const;

  /// Called, in the thread that brings layers, whenever ask_for() may have another answer.
  std::function<void()> changed = [] {};

 private:
  [[nodiscard]] std::optional<LayerPlace> choose() const;

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::set<LayerPlace> missing_;
  std::deque<LayerPlace> wanted_;
  std::deque<LayerPlace> expected_;
  std::vector<LayerPlace> touched_;
  std::set<LayerPlace> is_touched_;
  bool is_lost_ = false;
  std::chrono::steady_clock::time_point quiet_from_{};  ///< nobody waits for a layer from then on, it seems
};

}  // namespace sarde
