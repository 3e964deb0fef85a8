#pragma once

#include <cstdint>
#include <openssl/types.h>
#include <optional>
#include <string>
#include <string_view>

#include "core/foundation/c_handle.hpp"

extern "C" void EVP_MD_CTX_free(EVP_MD_CTX*);

namespace sarde {

/// "sha256:" and 64 hexadecimal digits in lower case (OCI image specification, descriptor.md#digests). The
/// only algorithm that sarde reads or writes.
class Digest {
 public:
  /// Nothing if `text` has not exactly that form.
  static std::optional<Digest> parse(std::string_view text);

  static Digest of(std::string_view bytes);

  [[nodiscard]] const std::string& text() const { return text_; }

  [[nodiscard]] std::string hex() const { return text_.substr(7); }

  auto operator<=>(const Digest&) const = default;

 private:
  friend class Sha256;

  explicit Digest(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

/// SHA-256 of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();

  void update(const void* data, std::size_t size);

  /// The digest of all so far; may be asked once.
  [[nodiscard]] Digest finish();

 private:
  CHandle<EVP_MD_CTX, EVP_MD_CTX_free> context_;
};

}  // namespace sarde
