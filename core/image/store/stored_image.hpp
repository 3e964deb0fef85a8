#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/layout/oci_layout.hpp"
#include "core/image/layout/vm_config.hpp"
#include "core/image/reference/image_reference.hpp"

namespace sarde {

/// An image in the cache: its small parts, read and checked; its disks still packed.
struct StoredImage {
  ImageReference reference;
  OciLayout layout;
  Descriptor manifest;
  std::string tag;  ///< its name in the index; empty: none
  Digest config_digest;
  std::string created;           ///< RFC 3339, or empty: foreign text
  std::string domain_xml;        ///< as exported: foreign text
  std::string guest_setup = {};  ///< "cloud-init", or empty: the guest needs none. Foreign text
  VmConfig vm_config;
  std::string vm_config_text;                   ///< empty if it has none
  std::vector<Descriptor> uefi_variables = {};  ///< none or one (uefi_variables.hpp)
  std::vector<Descriptor> unknown_layers = {};  ///< skipped
  std::vector<DiskLayers> disks;
  std::vector<Digest> disk_diff_ids;

  /// What the base VM is called unless somebody gives it a name: the config's digest.
  [[nodiscard]] const std::string& base_name() const { return config_digest.text(); }

  /// Whether the cache has all blobs of its disks. Of images that jobs brought it has none (keep-blobs).
  [[nodiscard]] bool has_packed_disks() const;

  /// Its name as the cache has it: with its tag, or by its manifest's digest.
  [[nodiscard]] ImageReference cached_name() const;

  /// Compressed bytes of all disks.
  [[nodiscard]] std::uint64_t compressed_size() const;
};

/// Reads an image's small parts from its layout, where they are. Throws Error, the job's fault, if they are
/// not what an image of ours has.
StoredImage read_stored_image(const ImageReference& reference, const OciLayout& layout,
                              const IndexEntry& entry);

}  // namespace sarde
