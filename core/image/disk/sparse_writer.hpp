#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "core/foundation/digest.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/image/disk/disk_pieces.hpp"
#include "core/image/disk/disk_sink.hpp"

namespace sarde {

/// What becomes of blocks that are all zero. Left out, they leave in the file what is there: a hole, one
/// hopes.
enum class Zeros { left_out, written };

/// Writes bytes of a disk to their place in a file. `path` is for messages. Throws Error.
void put_sparsely(int fd, const std::string& path, std::span<const unsigned char> data, std::uint64_t at,
                  Zeros zeros);

/// Writes a disk to a file, and leaves blocks of zeros out.
class SparseWriter final : public DiskSink {
 public:
  enum class Hashing { none, whole };

  /// Makes the file. Throws Error, the job's fault if there is one of this name.
  SparseWriter(const std::filesystem::path& path, Hashing hashing);

  void put(std::span<const unsigned char> data, std::uint64_t at) const override;
  void took(std::span<const unsigned char> data) override;
  bool share(const KnownSpan& span) override;

  /// Once all has been put: syncs the file if that is wanted, and tells of it all but the spans. Throws
  /// Error.
  UnpackedDisk finish(std::string name, bool sync);

  /// Of those: no more are noted after that.
  [[nodiscard]] DiskPieces pieces() { return notes_.finish(); }

  /// Bytes that have been put without a gap.
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  std::string path_;
  UniqueFd fd_;
  std::optional<Sha256> hash_;
  PieceNotes notes_;
  std::uint64_t size_ = 0;
  std::uint64_t reused_ = 0;
  std::uint64_t told_ = 0;  ///< up to where the kernel was told to write
};

}  // namespace sarde
