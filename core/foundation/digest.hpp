#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

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
  /// What the hash is after a multiple of 64 bytes (FIPS 180-4, section 6.2: the intermediate hash value).
  using State = std::array<std::uint32_t, 8>;

  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  /// One that has had `bytes` bytes already, a multiple of 64: so that a stretch of a file can be checked
  /// without reading what is before it.
  Sha256(const State& state, std::uint64_t bytes);

  void update(const void* data, std::size_t size);

  /// After a multiple of 64 bytes only.
  [[nodiscard]] State state() const;

  /// The digest of all so far; may be asked once.
  [[nodiscard]] Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace sarde
