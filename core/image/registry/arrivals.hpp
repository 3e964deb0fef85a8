#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/image/layout/oci_layout.hpp"
#include "core/image/layout/oci_manifest.hpp"

namespace sarde {

/// What comes into a layout while skopeo fetches an image, held against what the manifest says will come.
class Arrivals {
 public:
  /// `incoming` is the folder in which skopeo collects blobs. The layout must outlive this.
  Arrivals(const OciLayout& into, std::filesystem::path incoming, const Manifest& manifest);

  /// Bytes of the blobs that the layout lacked at the start.
  [[nodiscard]] std::uint64_t total() const { return total_; }

  /// Bytes of them that have come.
  [[nodiscard]] std::uint64_t done() const;

  /// Bytes of them that the layout has, and that need not come again.
  [[nodiscard]] std::uint64_t kept() const;

  /// Throws Error (the job's fault) once more is under way than was announced.
  void check() const;

 private:
  struct Sizes {
    std::uint64_t total = 0;
    std::uint64_t largest = 0;
  };

  [[nodiscard]] Sizes sizes_under_way() const;

  const OciLayout& into_;
  std::filesystem::path incoming_;
  std::vector<Descriptor> missing_;
  std::uint64_t total_ = 0;
  std::uint64_t largest_ = 0;
};

}  // namespace sarde
