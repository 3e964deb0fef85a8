#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk_packing.hpp"

namespace sarde {

/// `.sarde-image.json` in the folder of an unpacked image: which image it is, and how its disks looked when
/// they were written. Its presence says that the folder is whole.
struct UnpackedMarker {
  struct Disk {
    std::string name;
    std::vector<LayerSpan> spans = {};
  };

  std::string config_digest;
  std::vector<Disk> disks;

  [[nodiscard]] std::vector<std::string> names() const;
};

enum class DisksState { untouched, changed };

void write_unpacked_marker(const std::filesystem::path& folder, const UnpackedMarker& marker);

/// Nothing where there is no marker (another program unpacked it).
std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(
    const std::filesystem::path& folder);

}  // namespace sarde
