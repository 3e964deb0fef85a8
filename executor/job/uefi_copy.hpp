#pragma once

#include <filesystem>

#include "core/foundation/reporter.hpp"
#include "core/image/store/stored_image.hpp"

namespace sarde {

/// Gives a VM its own copy of the image's UEFI variables, if the image has any. Returns whether `file` is
/// there; where it is not, libvirt makes a new one. Variables of another build of the firmware, which this
/// host's could not read, are left out with a warning. Throws Error.
bool copy_uefi_variables(const StoredImage& image, const std::filesystem::path& file, Reporter& reporter);

}  // namespace sarde
