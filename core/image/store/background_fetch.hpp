#pragma once

#include <atomic>
#include <exception>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/image/registry/registry.hpp"
#include "core/image/store/image_fetcher.hpp"

namespace sarde {

/// Fetching in a thread of its own, while the owner unpacks what has arrived.
class BackgroundFetch {
 public:
  BackgroundFetch(const ObtainRequest& request, Registry& registry, const AnnouncedImage& announced,
                  const OciLayout& layout, RegistryAccess access)
      : layout_(layout) {
    access.progress = [this](std::uint64_t done, std::uint64_t total) {
      done_ = done;
      total_ = total;
      if (given_up_) throw Error("the rest is not wanted any more");
    };
    const auto known = layout.find(request.reference.local_name());
    thread_ = std::thread([this, &request, &registry, &announced, access,
                           known = known ? std::optional(known->manifest) : std::nullopt] {
      try {
        manifest_ = registry.fetch(request.source, announced, layout_, known, access);
      } catch (...) {
        failure_ = std::current_exception();
      }
      ended_ = true;
    });
  }

  BackgroundFetch(const BackgroundFetch&) = delete;
  BackgroundFetch& operator=(const BackgroundFetch&) = delete;

  ~BackgroundFetch() {
    given_up_ = true;
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] bool ended() const { return ended_; }

  [[nodiscard]] std::uint64_t done() const { return done_; }

  [[nodiscard]] std::uint64_t total() const { return total_; }

  /// Has the blob arrived? Throws what ended the fetching if it never will.
  bool has(const Descriptor& blob) {
    const bool was_ended = ended_;
    std::error_code ignored;
    if (std::filesystem::exists(layout_.blob(blob.digest), ignored)) return true;
    if (was_ended) static_cast<void>(finish());
    return was_ended;
  }

  /// Waits for the end. Throws what ended it.
  Descriptor finish() {
    if (thread_.joinable()) thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return *manifest_;
  }

 private:
  const OciLayout& layout_;
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<std::uint64_t> total_ = 0;
  std::atomic<bool> given_up_ = false;
  std::atomic<bool> ended_ = false;
  std::optional<Descriptor> manifest_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace sarde
