#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace sarde {

struct StoreSettings {
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  unsigned threads = 1;
  std::uint64_t max_image = UINT64_MAX;  ///< bytes that an image's disk files may unpack to
  std::uint64_t max_disk = UINT64_MAX;   ///< bytes that a disk may have for the guest
  std::chrono::milliseconds
      lock_timeout{};  ///< how long to wait for another process at work on the same image
  /// Told once when such a wait begins.
  std::function<void(const std::string&)> announce = {};
};

}  // namespace sarde
