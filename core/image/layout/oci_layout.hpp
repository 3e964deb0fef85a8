#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/layout/oci_manifest.hpp"
#include "core/image/layout/settling_blobs.hpp"
#include "core/image/reference/image_reference.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

/// A blob on its way into a layout: written and hashed, then given its name. Dropped if it is not.
class IncomingBlob {
 public:
  explicit IncomingBlob(const std::filesystem::path& blobs);

  void write(const void* data, std::size_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Puts the blob under its digest's name; one that is there already stays.
  Descriptor keep(const std::string& media_type);

  /// The same, but it gets its name with others.
  Descriptor keep_with(SettlingBlobs& others, const std::string& media_type);

 private:
  std::filesystem::path blobs_;
  TempFile file_;
  Sha256 hash_;
  std::uint64_t size_ = 0;
};

/// An OCI image layout on disk (OCI image specification, image-layout.md), one per repository. Blobs appear
/// whole or not at all, so readers need no lock; index.json is changed under one.
class OciLayout {
 public:
  explicit OciLayout(std::filesystem::path folder) : folder_(std::move(folder)) {}

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  [[nodiscard]] std::filesystem::path blobs() const { return folder_ / "blobs" / "sha256"; }

  [[nodiscard]] std::filesystem::path blob(const Digest& digest) const { return blobs() / digest.hex(); }

  /// Makes the folders and files of an empty layout where they are missing.
  void create() const;

  /// index.json's entries; none where there is no layout yet.
  [[nodiscard]] std::vector<IndexEntry> index() const;

  /// The entry that `name` (a tag or a digest's text) stands for.
  [[nodiscard]] std::optional<IndexEntry> find(const std::string& name) const;

  /// Is there a file for each of these blobs? Quicker than holds().
  [[nodiscard]] bool names_all(const std::vector<Descriptor>& blobs) const;

  /// Are all the manifest's blobs there, of the right size?
  [[nodiscard]] bool holds(const Manifest& manifest) const;

  /// Opens a blob for reading. Throws Error, with what to do, if it is not there.
  [[nodiscard]] UniqueFd open_blob(const Digest& digest) const;

  /// A small blob whole, its digest and size checked. Throws Error (the host's fault: the cache is damaged).
  [[nodiscard]] std::string read_blob(const Descriptor& descriptor) const;

  /// Stores a small blob.
  [[nodiscard]] Descriptor add_blob(const std::string& content, std::string_view media_type) const;

  [[nodiscard]] IncomingBlob incoming_blob() const { return IncomingBlob(blobs()); }

  /// Makes `tag` stand for the manifest; what it stood for before loses the name.
  void tag(const Descriptor& manifest, const std::string& tag, const FileLock::Waiting& waiting) const;

  /// Takes an entry out of index.json; its blobs stay.
  void untag(const IndexEntry& gone, const FileLock::Waiting& waiting) const;

 private:
  std::filesystem::path folder_;
};

/// Throws Error (the job's fault) if it is said to be larger than any config, domain or vm config: 8 MiB.
void check_small_blob(const Descriptor& descriptor);

/// A layout with one manifest in it and no blobs of its own, in a path without a colon: skopeo's `oci:`
/// cannot name a folder whose path has one, and a registry's port puts one there. Blobs go to and from a
/// shared folder beside.
void write_single_index(const std::filesystem::path& folder, const IndexEntry& entry);

}  // namespace sarde
