#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"

namespace sarde {

/// `.sarde-image.json` in the folder of an unpacked image: which image it is, and how its disks looked when
/// they were written. Its presence says that the folder is whole.
struct UnpackedMarker {
  struct Disk {
    std::string name;
    std::vector<LayerSpan> spans = {};
    DiskStretches stretches = {};
  };

  std::string config_digest;
  std::string manifest_digest;  ///< empty in markers of before there was this, or where it is not known
  std::vector<Disk> disks;

  [[nodiscard]] std::vector<std::string> names() const;
};

/// By size and time of change.
enum class DisksState { untouched, changed };

void write_unpacked_marker(const std::filesystem::path& folder, const UnpackedMarker& marker);

/// Nothing where there is no marker (another program unpacked it). Looks at the disks' sizes and times only.
std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(
    const std::filesystem::path& folder);

/// The disks whose content is no longer what was unpacked.
std::vector<std::string> changed_disks(const std::filesystem::path& folder, const UnpackedMarker& marker,
                                       StretchCheck check, Cancellation& cancellation);

}  // namespace sarde
