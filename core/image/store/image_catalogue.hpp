#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/image/store/store_locks.hpp"
#include "core/image/store/stored_image.hpp"

namespace sarde {

/// A tag in the cache, or a manifest without one.
struct CatalogEntry {
  OciLayout layout;
  std::string repository;
  std::string tag;  ///< empty: none
  Descriptor manifest;
  Digest config_digest;
  std::vector<Descriptor> blobs;  ///< all that the manifest names

  /// repository:tag, or repository@digest
  [[nodiscard]] std::string name() const;
};

/// This file exists if the image has been fetched with one job's credentials only.
std::filesystem::path private_mark(const OciLayout& layout, const Digest& manifest);

/// The images in `ocidir`, packed: one OCI layout per repository. Every call may be made by several processes
/// at once.
class ImageCatalogue {
 public:
  ImageCatalogue(const StoreSettings& settings, const StoreLocks& locks, Cancellation& cancellation)
      : settings_(settings), locks_(locks), cancellation_(cancellation) {}

  /// The layout that the image's repository has or will have.
  [[nodiscard]] OciLayout layout_of(const ImageReference& reference) const;

  /// Where it is in the cache; nothing if it is not. Looks at the index only.
  [[nodiscard]] std::optional<std::pair<OciLayout, IndexEntry>> find(const ImageReference& reference) const;

  /// Is it in the cache? Looks at the index only.
  [[nodiscard]] bool has(const ImageReference& reference) const;

  /// Reads the image from the cache. Throws Error when it is not there or broken.
  [[nodiscard]] StoredImage load(const ImageReference& reference) const;

  /// Reads the image from a layout anywhere: the entry that was added last.
  [[nodiscard]] StoredImage load_folder(const std::filesystem::path& folder) const;

  /// Every image in the cache, by repository. Each image that cannot be read is reported to `complain`.
  [[nodiscard]] std::vector<CatalogEntry> entries(
      const std::function<void(const std::string&)>& complain) const;

  /// Every layout in the cache, by repository.
  [[nodiscard]] std::vector<std::pair<std::string, OciLayout>> layouts() const;

  /// Whether the image has been fetched with one job's credentials only. Another job must then show the
  /// registry its own credentials.
  [[nodiscard]] bool is_private(const StoredImage& image) const;

  /// Notes that the image is used now: `prune` goes by that.
  void mark_used(const StoredImage& image) const;

  /// Notes that the registry has just been asked for what this name stands for, and answered with the image.
  void mark_asked(const StoredImage& image) const;

  /// The time since mark_asked() for the image that the cache has under this name. Nothing if the registry
  /// was never asked, if the name has come to stand for something else since, or if the date was set back.
  [[nodiscard]] std::optional<std::chrono::milliseconds> time_since_asked(
      const ImageReference& reference) const;

  /// Names the manifest in the cache.
  void tag(const OciLayout& layout, const Descriptor& manifest, const std::string& tag) const;

  [[nodiscard]] const std::filesystem::path& folder() const { return settings_.ocidir; }

 private:
  const StoreSettings& settings_;
  const StoreLocks& locks_;
  Cancellation& cancellation_;
};

}  // namespace sarde
