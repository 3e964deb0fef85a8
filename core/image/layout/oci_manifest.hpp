#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/foundation/digest.hpp"

namespace sarde {

/// The media types of sardinecake's images; the manifest's own are those of the OCI image specification 1.0.
namespace media_type {
inline constexpr std::string_view manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view domain = "application/vnd.libvirt.domain.config+xml";
inline constexpr std::string_view vm_config = "application/vnd.sardinecake.vm.config.v1+json";
/// Ours: UEFI variables (uefi_variables.hpp). sardinecake takes what ends in `+gzip` for a disk, and ignores
/// the rest.
inline constexpr std::string_view uefi_variables = "application/vnd.sarde-executor.uefi-variables.v1.gz";
inline constexpr std::string_view qemu_disk = "application/x-qemu-disk";
inline constexpr std::string_view other_disk = "application/octet-stream";
}  // namespace media_type

/// A blob by digest and size in bytes (OCI image specification, descriptor.md).
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  std::map<std::string, std::string> annotations = {};
};

/// Annotations of ours, of which sardinecake knows nothing. Those on the first layer of a disk file let
/// `inspect` tell of an image whose disks are still at the registry.
namespace annotation {
inline constexpr auto guest_setup = "sarde-executor.guest-setup";  ///< of the domain: cloud-init
inline constexpr auto disk_name = "sarde-executor.disk.name";
inline constexpr auto disk_size = "sarde-executor.disk.size";  ///< of the file, in bytes
inline constexpr auto disk_backing =
    "sarde-executor.disk.backing";  ///< its backing file's name, if it has one
inline constexpr auto disk_boot_order = "sarde-executor.disk.boot-order";  ///< boot_order.hpp
}  // namespace annotation

/// What the blob's annotation says; nothing if it has no such annotation.
std::optional<std::string> annotated(const Descriptor& blob, const char* key);

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;
};

/// The image config, as far as sardinecake uses it: diff_ids are the digests of what the layers are when
/// uncompressed, in their order: the domain XML, the vm config if there is one, each disk file – one for a
/// disk, however many chunks it was cut into.
struct ImageConfig {
  std::string architecture;  ///< as Go calls it: amd64, arm64, 386
  std::string created;       ///< RFC 3339: `skopeo inspect` fails on anything else
  std::vector<Digest> diff_ids;
  std::vector<std::string> history;  ///< created_by of each diff_id, for people
};

/// An entry of index.json: a manifest and its tag (empty: none).
struct IndexEntry {
  Descriptor manifest;
  std::string tag;
};

/// Readers throw Error (the job's fault: the image is broken) that names `what`; unknown keys are ignored.
Manifest parse_manifest(std::string_view text, const std::string& what);

/// Is it a list of manifests, one for each platform, rather than a manifest?
bool is_index(std::string_view text);

/// One platform's manifest in an index (OCI image specification, image-index.md).
struct PlatformManifest {
  Descriptor manifest;
  std::string os;            ///< as Go calls it; empty: unsaid
  std::string architecture;  ///< as Go calls it; empty: unsaid
};

/// Of an index the manifest for this platform (os/architecture as Go calls them; libvirt's names of
/// architectures are taken for Go's), or one that says none. Throws Error (the job's fault) that lists what
/// there is, where it has neither.
PlatformManifest choose_platform(std::string_view index_text, const std::string& platform,
                                 const std::string& what);

ImageConfig parse_image_config(std::string_view text, const std::string& what);
std::vector<IndexEntry> parse_index(std::string_view text, const std::string& what);

std::string to_text(const Manifest& manifest);
std::string to_text(const ImageConfig& config);
std::string to_text(const std::vector<IndexEntry>& index);

/// Is a layer of this type disk data, as sardinecake has it? Every type that ends in `+gzip` is, parameters
/// aside.
bool is_disk_data(std::string_view type);

/// The chunks of one disk file, in order.
struct DiskLayers {
  std::vector<Descriptor> chunks;
};

/// Of all their chunks.
std::set<Digest> digests_of(const std::vector<DiskLayers>& disks);

/// What the layers of a VM image are.
struct VmLayers {
  Descriptor domain;
  std::vector<Descriptor> vm_config;       ///< none or one
  std::vector<Descriptor> uefi_variables;  ///< none or one
  std::vector<DiskLayers> disks;
  std::vector<Descriptor> unknown;  ///< of types that this program does not know: skipped

  enum class File { known, disk, unknown };
  std::vector<File> files;  ///< what each file in the layers is, in their order
};

/// Sorts a manifest's layers: every type that ends in `+gzip`, parameters aside, is disk data; `;chunk=N`
/// with N above 0 continues the disk before it; of other types, those that are not known are skipped, as
/// sardinecake does: that is how the format grows. Throws Error (the job's fault) when there is no domain XML
/// or a chunk out of order.
VmLayers vm_layers(const Manifest& manifest, const std::string& what);

/// The disks' diff_ids. A config need not have one for a layer that is skipped. Throws Error (the job's
/// fault) if there are too few or too many.
std::vector<Digest> disk_diff_ids(const VmLayers& layers, const ImageConfig& config);

/// The architecture's name in Go's words for one in libvirt's (x86_64 → amd64); others unchanged.
std::string go_architecture(const std::string& libvirt_architecture);

}  // namespace sarde
