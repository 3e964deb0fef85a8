// The functions that OpenSSL 3 calls deprecated: the newer ones do not give a hash's intermediate value.
#define OPENSSL_SUPPRESS_DEPRECATED  // NOLINT(cppcoreguidelines-macro-usage): OpenSSL's name for it
#include "core/foundation/digest.hpp"

#include <algorithm>
#include <array>
#include <openssl/sha.h>

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

struct Sha256::Context {
  SHA256_CTX sha{};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (SHA256_Init(&context_->sha) != 1) throw Error("start a SHA-256: libcrypto refused");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(const void* data, std::size_t size) {
  if (SHA256_Update(&context_->sha, data, size) != 1) throw Error("continue a SHA-256: libcrypto refused");
}

Digest Sha256::so_far() const {
  Sha256 copy;
  copy.context_->sha = context_->sha;
  return copy.finish();
}

Digest Sha256::finish() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> bytes{};
  if (SHA256_Final(bytes.data(), &context_->sha) != 1) throw Error("finish a SHA-256: libcrypto refused");
  return Digest("sha256:" + to_hex(bytes.data(), bytes.size()));
}

}  // namespace sarde
