#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/system/cancellation.hpp"

namespace sarde {

/// The CRC-32 (RFC 1952) of each MiB of a file, noted while it was written: with them some pieces of it can
/// be checked without reading the rest. They find what went wrong by accident; what was made to look right,
/// only the digest of the whole file finds.
struct DiskPieces {
  static constexpr std::size_t length = 1U << 20U;  ///< bytes of a piece, but for the last

  std::vector<std::uint32_t> checksums;
  std::uint64_t size = 0;  ///< bytes of the file; 0: nothing is known

  /// For a marker.
  [[nodiscard]] std::string text() const;

  /// Reads what text() gave; nothing is known if it is anything else.
  static DiskPieces parse(const std::string& text);
};

/// Notes the pieces of a file whose bytes are given in their order.
class PieceNotes {
 public:
  void update(std::span<const unsigned char> data);

  [[nodiscard]] DiskPieces finish();

 private:
  DiskPieces pieces_;
  std::uint32_t checksum_ = 0;
};

/// Are these bytes, which begin a piece at `at` of the file, what was noted there? A part of a piece is only
/// known if the file ends with it.
bool is_piece(std::span<const unsigned char> data, const DiskPieces& pieces, std::uint64_t at);

/// The pieces of a file that is there already. Reads all of it. Throws Error, Cancelled.
DiskPieces pieces_of_file(const std::filesystem::path& file, Cancellation& cancellation);

/// Is the file's content still what was noted? Reads all of it. False where nothing is known. Throws Error if
/// the file cannot be read, Cancelled.
bool all_agree(const std::filesystem::path& file, const DiskPieces& pieces, Cancellation& cancellation);

/// Is the file's content still what was noted, as far as a sample shows: the first piece (a disk's tables)
/// and two others, at random? True where nothing is known. Throws Error if the file cannot be read,
/// Cancelled.
bool sample_agrees(const std::filesystem::path& file, const DiskPieces& pieces, Cancellation& cancellation);

}  // namespace sarde
