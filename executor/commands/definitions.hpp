#pragma once

#include <string>

#include "core/image/store/image_store.hpp"
#include "core/vm/disk_file.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// The definition of a VM on an image (domain_to_define()); what is left out of the image's domain is said.
std::string definition_of_image(const CommandTools& tools, const std::string& image_xml,
                                const std::string& name, const DiskFiles& files);

/// Lets QEMU reach the disks of a VM in its folder, and those of the image that they rest on, if there is
/// one.
void let_qemu_use(const CommandTools& tools, const std::filesystem::path& folder, const UnpackedImage* image);

}  // namespace sarde
