#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/image/digest.hpp"

namespace sarde {

/// The name of an image: `[host[:port]/]path[:tag][@sha256:…]`, in the grammar of the reference of
/// containers (distribution/reference): lower-case path components of letters, digits and `. _ -`, none of
/// which starts with one of these, a tag of up to 128 letters, digits and `. _ -`.
class ImageReference {
 public:
  /// Throws Error (the job's fault) that names what is wrong. `docker://` in front is allowed and dropped.
  static ImageReference parse(std::string_view text);

  /// As given: with tag and digest.
  [[nodiscard]] std::string text() const;

  /// For skopeo, which takes a digest or a tag but not both: the digest if there is one, else the tag, else
  /// `latest`.
  [[nodiscard]] std::string transport_text() const;

  /// host[:port], or empty where the first component is not a host's name.
  [[nodiscard]] std::string registry() const;

  /// Below `ocidir`: one folder a component.
  [[nodiscard]] std::filesystem::path folder() const { return {repository_}; }

  [[nodiscard]] const std::string& repository() const { return repository_; }

  [[nodiscard]] const std::optional<std::string>& tag() const { return tag_; }

  [[nodiscard]] const std::optional<Digest>& digest() const { return digest_; }

  /// What the entry in index.json is called: the tag, the digest's text, or `latest`.
  [[nodiscard]] std::string local_name() const;

 private:
  std::string repository_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

}  // namespace sarde
