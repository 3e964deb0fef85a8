#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/image/layout/oci_layout.hpp"
#include "core/image/store/partial_image.hpp"

namespace sarde {

/// In which order a VM has first read the stretches of a disk: by the disk's file, numbers of stretches of
/// 16 MiB. It is advice: an image's next version is read in much the same order.
using BootOrder = std::map<std::string, std::vector<std::uint64_t>>;

/// What the layers that were asked for say of it.
BootOrder boot_order_of(const std::vector<LayerGrid>& disks, const std::vector<LayerPlace>& touched);

/// The layers that it says will be asked for, in their order.
std::vector<LayerPlace> expected_layers(const std::vector<LayerGrid>& disks, const BootOrder& order);

/// As an annotation has it: numbers, and runs of them ("0-2,70,9"). Of text that is anything else, what is
/// before that.
std::string stretches_text(const std::vector<std::uint64_t>& stretches);
std::vector<std::uint64_t> parse_stretches(const std::string& text);

/// What was noted last for an image of the layout's repository; empty if nothing was.
BootOrder read_boot_order(const OciLayout& layout);

/// Throws Error.
void note_boot_order(const OciLayout& layout, const BootOrder& order);

/// What the image's manifest says.
BootOrder boot_order_in(const std::vector<DiskLayers>& disks);

}  // namespace sarde
