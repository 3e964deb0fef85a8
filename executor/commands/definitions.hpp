#pragma once

#include <string>

#include "core/image/store/image_store.hpp"
#include "core/vm/domain/definition.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// The definition of a VM on an image (domain_to_define()), for KVM if the host has it. Reports what is left
/// out of the image's domain.
std::string definition_of_image(const CommandTools& tools, const std::string& image_xml, NewVm vm);

/// Where a VM that has its own folder keeps its UEFI variables. No disk has such a name.
std::filesystem::path uefi_variables_in(const std::filesystem::path& folder);

/// Gives QEMU access to the disks in a VM's folder, and to the disks of the image that they are based on, if
/// there is one.
void let_qemu_use(const CommandTools& tools, const std::filesystem::path& folder, const UnpackedImage* image);

}  // namespace sarde
