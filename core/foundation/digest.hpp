#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sarde {

/// "sha256:" followed by 64 hexadecimal digits in lower case (OCI image specification,
/// descriptor.md#digests). This is the only algorithm that sarde reads or writes.
class Digest {
 public:
  /// Returns nothing if `text` does not have exactly this form.
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

/// The SHA-256 of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(const void* data, std::size_t size);

  /// The digest of all bytes so far; more may follow.
  [[nodiscard]] Digest so_far() const;

  /// Returns the digest of all bytes. May be called only once.
  [[nodiscard]] Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace sarde
