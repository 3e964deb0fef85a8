#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/foundation/digest.hpp"
#include "core/system/cancellation.hpp"

namespace sarde {

/// What a file's SHA-256 was after each stretch of it, noted while it was hashed as a whole: with them any
/// stretch can be checked by itself, at the price of reading that stretch.
struct DiskStretches {
  std::uint64_t length = 0;  ///< bytes of a stretch, but for the last; a multiple of 64; 0: nothing is known
  std::vector<Sha256::State> after;  ///< each whole stretch
  std::uint64_t size = 0;            ///< bytes of the file
  std::string digest;                ///< of the whole file: a Digest's text

  /// For a marker.
  [[nodiscard]] std::string text() const;

  /// Reads what text() gave; nothing is known if it is anything else.
  static DiskStretches parse(const std::string& text);
};

/// Notes the stretches of a file that is being hashed. At most 2048: the longer the file, the longer they
/// are.
class StretchNotes {
 public:
  /// Hashes these bytes, which come next.
  void update(Sha256& hash, const unsigned char* data, std::size_t size);

  /// `digest`: of the whole file, as the hash gave it at the end.
  [[nodiscard]] DiskStretches finish(const Digest& digest);

 private:
  DiskStretches stretches_{.length = 1U << 20U, .after = {}};
};

/// Which stretches to read.
enum class StretchCheck { sample, all };

/// Is the file's content still what was noted? A sample is the first stretch (a disk's tables) and two
/// others, at random. True where nothing is known. Throws Error if the file cannot be read, Cancelled.
bool stretches_agree(const std::filesystem::path& file, const DiskStretches& stretches, StretchCheck check,
                     Cancellation& cancellation);

}  // namespace sarde
