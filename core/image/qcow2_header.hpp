#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace sarde {

/// What a qcow2 file's header says (QEMU, docs/interop/qcow2.txt), as far as other files depend on it.
struct Qcow2Header {
  std::uint64_t virtual_size = 0;  ///< bytes
  std::optional<std::string>
      backing_file;  ///< as written: relative to the file's own folder, absolute, or json:…
  std::optional<std::string> backing_format;  ///< unsaid in old files
  bool external_data = false;                 ///< its data is in another file
};

/// The header, or nothing if the file does not begin as a qcow2 file does. Throws Error if it cannot be read
/// or makes no sense.
std::optional<Qcow2Header> read_qcow2_header(const std::filesystem::path& file);

}  // namespace sarde
