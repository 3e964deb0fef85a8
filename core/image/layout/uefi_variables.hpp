#pragma once

#include <string>
#include <string_view>

namespace sarde {

// A VM's UEFI variables (its NVRAM: boot entries, enrolled keys), as QEMU's flash file has them. The file is
// nearly empty, and 64 MiB on ARM, so its layer is compressed with gzip.

/// Are these a firmware volume, or empty flash? Anything else might be opened as another format, qcow2 say,
/// with other files behind it.
bool is_variable_store(std::string_view bytes);

/// The layer for a file's bytes. The same bytes give the same layer.
std::string pack_uefi_variables(std::string_view bytes);

/// The file's bytes. Throws Error (the job's fault) if it is no such layer, they are no
/// variables, or the file has more than 64 MiB.
std::string unpack_uefi_variables(std::string_view layer);

}  // namespace sarde
