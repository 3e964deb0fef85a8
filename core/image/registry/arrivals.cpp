#include "core/image/registry/arrivals.hpp"

#include <algorithm>
#include <system_error>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

Arrivals::Arrivals(const OciLayout& into, std::filesystem::path incoming, const Manifest& manifest)
    : into_(into), incoming_(std::move(incoming)) {
  auto blobs = manifest.layers;
  blobs.push_back(manifest.config);
  for (const auto& blob : blobs) {
    std::error_code error;
    if (std::filesystem::exists(into_.blob(blob.digest), error)) continue;
    total_ += blob.size;
    largest_ = std::max(largest_, blob.size);
    missing_.push_back(blob);
  }
}

std::uint64_t Arrivals::done() const {
  return std::min(sizes_under_way().total + kept(), total_);
}

std::uint64_t Arrivals::kept() const {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& blob : missing_) {
    if (std::filesystem::exists(into_.blob(blob.digest), error)) bytes += blob.size;
  }
  return bytes;
}

void Arrivals::check() const {
  const auto now = sizes_under_way();
  if (now.largest > largest_ || now.total > total_)
    throw Error(Blame::job, "the registry sends more than the image's manifest says: " +
                                size_text(now.total) + " of " + size_text(total_));
}

/// Of the files in which skopeo collects blobs.
Arrivals::Sizes Arrivals::sizes_under_way() const {
  Sizes sizes;
  for (const auto& file : folder_entries(incoming_)) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error || !file.filename().string().starts_with("oci-put-blob")) continue;
    sizes.total += size;
    sizes.largest = std::max<std::uint64_t>(sizes.largest, size);
  }
  return sizes;
}

}  // namespace sarde
