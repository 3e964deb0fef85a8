#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/foundation/digest.hpp"

namespace sarde {

/// The name of an image: `[host[:port]/]path[:tag][@sha256:…]`, in the grammar of the reference of
/// containers (distribution/reference): lower-case path components of letters, digits and `. _ -`, none of
/// which starts with one of these, up to 255 characters in all; a tag of up to 128 letters, digits and `. _
/// -`. The host has its canonical spelling from here on.
class ImageReference {
 public:
  /// Throws Error (the job's fault) that names what is wrong. `docker://` in front is allowed and dropped.
  static ImageReference parse(std::string_view text);

  /// With tag and digest.
  [[nodiscard]] std::string text() const;

  /// For skopeo, which takes a digest or a tag but not both: the digest if there is one, else the tag, else
  /// `latest`.
  [[nodiscard]] std::string transport_text() const;

  /// host[:port], or empty where the first component is not a host's name.
  [[nodiscard]] std::string registry() const;

  /// The registry that is asked: registry(), or docker.io where the name has no host.
  [[nodiscard]] std::string asked_registry() const;

  /// The quoted name for messages about a registry; where the name has none, with the one that is asked and
  /// how to name another.
  [[nodiscard]] std::string text_with_registry() const;

  /// The names that settings and credentials may have for it, the most exact first: with the tag (`latest` if
  /// none is given), or with the digest, which makes a tag beside it mean nothing; and without either. A name
  /// without a host also stands for one at Docker Hub.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Below `ocidir`: one folder a component; a component that a layout has a file or folder of is written
  /// with a `%` in front, which no name has.
  [[nodiscard]] std::filesystem::path folder() const;

  /// The repository of a folder below `ocidir`.
  static std::string repository_in(const std::filesystem::path& folder);

  [[nodiscard]] const std::string& repository() const { return repository_; }

  [[nodiscard]] const std::optional<std::string>& tag() const { return tag_; }

  [[nodiscard]] const std::optional<Digest>& digest() const { return digest_; }

  /// The manifest of this digest in the same repository.
  [[nodiscard]] ImageReference with_digest(const Digest& digest) const;

  /// What the entry in index.json is called: the tag, the digest's text, or `latest`.
  [[nodiscard]] std::string local_name() const;

 private:
  std::string repository_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

}  // namespace sarde
