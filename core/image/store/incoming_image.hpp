#pragma once

#include <set>
#include <string>

#include "core/foundation/error.hpp"
#include "core/image/layout/oci_layout.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/store/image_catalogue.hpp"
#include "core/system/files.hpp"

namespace sarde {

/// What is fetched of an image, while the layout is locked. It is removed again if the image is refused.
class IncomingImage {
 public:
  IncomingImage(const OciLayout& layout, const AnnouncedImage& announced, const RegistryAccess& access)
      : layout_(layout), mark_(private_mark(layout, announced.digest)) {
    for (const auto& blob : announced.manifest.layers) note_if_missing(blob.digest);
    note_if_missing(announced.manifest.config.digest);
    note_if_missing(announced.digest);
    is_marked_ = access.authfile.has_value() && missing_.contains(announced.digest.hex());
    // Before the first blob comes: whoever dies then leaves nothing that anybody may have.
    if (!is_marked_) return;
    make_folders(mark_.parent_path(), 0700);
    write_file(mark_, "", 0600);
  }

  /// It may stay. With this machine's own credentials every job could have it.
  void keep(const RegistryAccess& access) const {
    if (!access.authfile) remove_if_there(mark_);
  }

  /// The image is refused: nothing of it stays that was not there before.
  void discard() const {
    for (const auto& hex : missing_) remove_if_there(layout_.blobs() / hex);
    if (is_marked_) remove_if_there(mark_);
  }

 private:
  void note_if_missing(const Digest& digest) {
    std::error_code error;
    if (!std::filesystem::exists(layout_.blob(digest), error)) missing_.insert(digest.hex());
  }

  const OciLayout& layout_;
  std::filesystem::path mark_;
  std::set<std::string> missing_;
  bool is_marked_ = false;
};

/// Runs `work`. If the image is refused, what was fetched of it is discarded.
template <typename Work>
auto discarding_what_is_refused(const IncomingImage& incoming, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.blame() == Blame::job) incoming.discard();
    throw;
  }
}

}  // namespace sarde
