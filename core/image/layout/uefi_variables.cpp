#include "core/image/layout/uefi_variables.hpp"

#include <algorithm>
#include <libdeflate.h>
#include <memory>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::size_t largest = 64U << 20U;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Blame::job, "read the image's UEFI variables: " + why);
}

struct FreeCompressor {
  void operator()(libdeflate_compressor* it) const { libdeflate_free_compressor(it); }
};

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* it) const { libdeflate_free_decompressor(it); }
};

/// The size before compression (RFC 1952, ISIZE): the last four bytes.
std::size_t uncompressed_size(std::string_view layer) {
  constexpr std::size_t smallest_member = 18;
  if (layer.size() < smallest_member) refuse("the layer is no gzip file");
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i)
    size |= static_cast<std::size_t>(static_cast<unsigned char>(layer[layer.size() - 4 + i])) << (8 * i);
  return size;
}

}  // namespace

bool is_variable_store(std::string_view bytes) {
  // UEFI Platform Initialization, "Firmware Volume Header": the signature; ARM's begins as empty flash.
  constexpr std::size_t signature = 40;
  const auto head = bytes.substr(0, 64);
  const bool is_empty =
      head.find_first_not_of('\0') == head.npos || head.find_first_not_of('\xff') == head.npos;
  return bytes.substr(std::min(signature, bytes.size()), 4) == "_FVH" || is_empty;
}

std::string pack_uefi_variables(std::string_view bytes) {
  constexpr int level = 6;
  const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(level));
  if (!compressor) throw Error("pack the UEFI variables: out of memory");
  std::string layer(libdeflate_gzip_compress_bound(compressor.get(), bytes.size()), '\0');
  layer.resize(
      libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(), layer.data(), layer.size()));
  return layer;
}

std::string unpack_uefi_variables(std::string_view layer) {
  const auto size = uncompressed_size(layer);
  if (size > largest) refuse("they are larger than " + size_text(largest));
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) throw Error("unpack the UEFI variables: out of memory");
  std::string bytes(size, '\0');
  if (libdeflate_gzip_decompress(decompressor.get(), layer.data(), layer.size(), bytes.data(), bytes.size(),
                                 nullptr) != LIBDEFLATE_SUCCESS)
    refuse("the layer is no gzip file");
  if (!is_variable_store(bytes)) refuse("they are no firmware volume");
  return bytes;
}

}  // namespace sarde
