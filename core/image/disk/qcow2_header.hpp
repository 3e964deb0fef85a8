#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sarde {

/// What a qcow2 file's header says (QEMU, docs/interop/qcow2.txt), as far as other files depend on it.
struct Qcow2Header {
  std::uint64_t virtual_size = 0;  ///< bytes
  std::optional<std::string>
      backing_file;  ///< as written: relative to the file's own folder, absolute, or json:…
  std::optional<std::string> backing_format;  ///< unsaid in old files
  bool external_data = false;                 ///< its data is in another file
  std::uint64_t snapshots = 0;                ///< internal ones
  std::uint64_t snapshots_at = 0;             ///< bytes from the file's beginning

  /// Bytes of the file.
  struct Stretch {
    std::uint64_t at = 0;
    std::uint64_t length = 0;
  };

  std::vector<Stretch> tables;  ///< what QEMU reads when it opens the file, beside the header
  bool has_lists = false;       ///< of snapshots or bitmaps, which it reads as well
};

/// As the next function, from the file's first bytes (64 KiB are enough). `name` is for messages.
std::optional<Qcow2Header> parse_qcow2_header(std::span<const unsigned char> bytes, const std::string& name);

/// The header, or nothing if the file does not begin as a qcow2 file does. Throws Error if it cannot be read
/// or makes no sense.
std::optional<Qcow2Header> read_qcow2_header(const std::filesystem::path& file);

/// The first bytes of the file, changed so that its backing file is called `backing`; the rest of the file
/// stays as it is. Throws Error if the header has no room for the name.
std::vector<unsigned char> qcow2_head_with_backing(const std::filesystem::path& file,
                                                   const std::string& backing);

}  // namespace sarde
