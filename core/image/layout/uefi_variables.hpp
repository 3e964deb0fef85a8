#pragma once

#include <string>
#include <string_view>

namespace sarde {

// A VM's UEFI variables (its NVRAM: boot entries, enrolled keys), as QEMU's flash file has them. The file is
// nearly empty, and 64 MiB on ARM, so its layer is compressed with gzip.

/// The layer for a file's bytes. The same bytes give the same layer.
std::string pack_uefi_variables(std::string_view bytes);

/// The file's bytes. Throws Error (the job's fault) if it is no such layer, or the file has more than 64 MiB.
std::string unpack_uefi_variables(std::string_view layer);

}  // namespace sarde
