#include "core/image/digest.hpp"

#include <algorithm>
#include <array>
#include <openssl/evp.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

std::optional<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  const bool fits = text.size() == prefix.size() + 64 && text.starts_with(prefix) &&
                    text.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
  if (!fits) return std::nullopt;
  return Digest(std::string(text));
}

Digest Digest::of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.finish();
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
    throw Error("start a SHA-256: libcrypto refused");
}

void Sha256::update(const void* data, std::size_t size) {
  if (EVP_DigestUpdate(context_.get(), data, size) != 1) throw Error("continue a SHA-256: libcrypto refused");
}

Digest Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context_.get(), bytes.data(), &size) != 1)
    throw Error("finish a SHA-256: libcrypto refused");
  return Digest("sha256:" + to_hex(bytes.data(), size));
}

}  // namespace sarde
