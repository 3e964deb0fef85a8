#include "core/image/serving/layer_queue.hpp"

#include <algorithm>

namespace sarde {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds moment(500);

}  // namespace

LayerQueue::LayerQueue(const PartialImage& image, std::vector<LayerPlace> expected) {
  for (const auto layer : image.missing()) missing_.insert(layer);
  for (const auto layer : expected)
    if (missing_.contains(layer)) expected_.push_back(layer);
  quiet_from_ = steady_clock::now() + moment;
}

LayerQueue::Presence LayerQueue::ask_for(const std::vector<LayerPlace>& layers) {
  const std::scoped_lock lock(mutex_);
  auto presence = Presence::there;
  for (const auto layer : layers) {
    if (is_touched_.insert(layer).second) touched_.push_back(layer);
    if (!missing_.contains(layer)) continue;
    presence = is_lost_ ? Presence::lost : Presence::missing;
    if (std::ranges::find(wanted_, layer) == wanted_.end()) wanted_.push_back(layer);
  }
  if (presence == Presence::missing) asked_.notify_one();
  return presence;
}

std::optional<LayerPlace> LayerQueue::choose() const {
  if (!wanted_.empty()) return wanted_.front();
  if (!expected_.empty()) return expected_.front();
  if (missing_.empty() || steady_clock::now() < quiet_from_) return std::nullopt;
  return *missing_.begin();
}

std::optional<LayerPlace> LayerQueue::next(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto deadline = steady_clock::now() + patience;
  for (;;) {
    if (const auto layer = choose()) return layer;
    if (missing_.empty() || steady_clock::now() >= deadline) return std::nullopt;
    asked_.wait_until(lock, std::min(deadline, std::max(quiet_from_, steady_clock::now())));
  }
}

void LayerQueue::arrived(LayerPlace layer) {
  {
    const std::scoped_lock lock(mutex_);
    missing_.erase(layer);
    if (std::erase(wanted_, layer) > 0) quiet_from_ = steady_clock::now() + moment;
    std::erase(expected_, layer);
  }
  changed();
}

void LayerQueue::give_up() {
  {
    const std::scoped_lock lock(mutex_);
    is_lost_ = true;
  }
  changed();
}

bool LayerQueue::is_complete() const {
  const std::scoped_lock lock(mutex_);
  return missing_.empty();
}

std::vector<LayerPlace> LayerQueue::touched() const {
  const std::scoped_lock lock(mutex_);
  return touched_;
}

}  // namespace sarde
