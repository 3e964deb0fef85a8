#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/layout/oci_layout.hpp"
#include "core/image/layout/vm_config.hpp"
#include "core/image/reference/image_reference.hpp"
#include "core/image/registry/registry.hpp"

namespace sarde {

struct StoreSettings {
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  unsigned threads = 1;
  std::uint64_t max_image = UINT64_MAX;  ///< bytes that an image's disk files may unpack to
  std::uint64_t max_disk = UINT64_MAX;   ///< bytes that a disk may have for the guest
  std::chrono::milliseconds
      lock_timeout{};  ///< how long to wait for another process at work on the same image
  /// Told once when such a wait begins.
  std::function<void(const std::string&)> announce = {};
};

/// Who may write to the files of an unpacked image: the VM that is defined on them, or nobody, for several
/// read them.
enum class DiskSharing { one_vm, many };

/// An image in the cache: its small parts, read and checked; its disks still packed.
struct StoredImage {
  ImageReference reference;
  OciLayout layout;
  Descriptor manifest;
  std::string tag;  ///< its name in the index; empty: none
  Digest config_digest;
  std::string created;     ///< RFC 3339, or empty: foreign text
  std::string domain_xml;  ///< as exported: foreign text
  VmConfig vm_config;
  std::string vm_config_text;  ///< empty if it has none
  std::vector<DiskLayers> disks;
  std::vector<Digest> disk_diff_ids;

  /// What the base VM is called unless somebody gives it a name: the config's digest.
  [[nodiscard]] const std::string& base_name() const { return config_digest.text(); }

  /// Compressed bytes of all disks.
  [[nodiscard]] std::uint64_t compressed_size() const;
};

/// The folder of an unpacked image, and its disk files in the manifest's order.
struct UnpackedImage {
  std::filesystem::path folder;
  std::vector<std::string> disks;
  bool was_there = false;
  std::uint64_t shared = 0;  ///< bytes that it shares with images that were there
};

/// An image in the cache, and its disks.
struct ObtainedImage {
  StoredImage image;
  UnpackedImage unpacked;
};

/// How an image is obtained.
struct ObtainRequest {
  ImageReference reference;  ///< what it is called here
  ImageReference source;     ///< and at the registry
  std::string folder = {};   ///< the base VM's name; empty: the config's digest
  /// Jobs' and clones' VMs share the disks; a base VM has its own, in a folder of its name.
  DiskSharing sharing = DiskSharing::many;
  /// What the registry has said of it already, if somebody has asked.
  std::optional<AnnouncedImage> announced = std::nullopt;
  /// Told the config's digest before anything of the image is unpacked.
  std::function<void(const std::string&)> announce_use = {};
  /// Told the domain's XML before a disk is unpacked; throws what refuses the image, of which then nothing
  /// stays.
  std::function<void(const std::string& domain_xml)> check = {};
  /// Bytes that have been fetched, or unpacked.
  std::function<void(const std::string& doing, std::uint64_t done, std::uint64_t total)> progress = {};
};

/// ", 1.2 GB of it shared with images that were there", or nothing.
std::string shared_note(const UnpackedImage& image);

/// A tag in the cache, or a manifest without one.
struct CatalogEntry {
  OciLayout layout;
  std::string repository;
  std::string tag;  ///< empty: none
  Descriptor manifest;
  Digest config_digest;
  std::vector<Descriptor> blobs;  ///< all that the manifest names

  /// repository:tag, or repository@digest
  [[nodiscard]] std::string name() const;
};

/// Every folder that an image may be unpacked to, unless somebody chose a name: by its config's digest, and
/// by its manifest's. (The second of them, for clones, is older versions'.)
std::vector<std::string> usual_folders(const Digest& config, const Digest& manifest);

/// Lock files. blobs_lock: held while blobs are added to or removed from a layout; unpacked_lock: while an
/// unpacked image's folder is made or removed.
std::filesystem::path blobs_lock(const OciLayout& layout);
std::filesystem::path unpacked_lock(const std::filesystem::path& vmdir, const std::string& name);

/// The images on this machine: packed in `ocidir`, one OCI layout per repository, and unpacked in `vmdir`,
/// one folder per image. Every call may be made by several processes at once; what it leaves is whole or not
/// there.
class ImageStore {
 public:
  ImageStore(StoreSettings settings, Clock& clock, Cancellation& cancellation)
      : settings_(std::move(settings)), clock_(clock), cancellation_(cancellation) {}

  /// The layout that the image's repository has or will have.
  [[nodiscard]] OciLayout layout_of(const ImageReference& reference) const;

  /// Where it is in the cache; nothing if it is not. Looks at the index only.
  [[nodiscard]] std::optional<std::pair<OciLayout, IndexEntry>> find(const ImageReference& reference) const;

  /// Is it in the cache? Looks at the index only.
  [[nodiscard]] bool has(const ImageReference& reference) const;

  /// Reads the image from the cache. Throws Error when it is not there or broken.
  [[nodiscard]] StoredImage load(const ImageReference& reference) const;

  /// Reads the image from a layout anywhere: the entry that was added last.
  [[nodiscard]] StoredImage load_folder(const std::filesystem::path& folder) const;

  /// Brings the image from the registry into the cache, as far as it is not there; then load().
  StoredImage fetch(const ImageReference& reference, Registry& registry, const RegistryAccess& access) const {
    return fetch_as(reference, reference, registry, access);
  }

  /// As fetch(), but `source` is what the registry calls it.
  StoredImage fetch_as(const ImageReference& reference, const ImageReference& source, Registry& registry,
                       const RegistryAccess& access) const;

  /// Says what of an announced image is larger than it may be. Throws Error (the job's fault), so before any
  /// of it is brought.
  void check_sizes(const AnnouncedImage& announced) const;
  void check_disk_sizes(const std::vector<DiskLayers>& disks) const;

  /// Brings what describes the image from the registry into `layout`, which is to be thrown away; its disks'
  /// blobs are empty files there.
  StoredImage fetch_description(const ImageReference& reference, const OciLayout& layout, Registry& registry,
                                const RegistryAccess& access) const;

  /// Every image in the cache, by repository. What cannot be read is told to `complain`, a sentence each.
  [[nodiscard]] std::vector<CatalogEntry> catalog(
      const std::function<void(const std::string&)>& complain) const;

  /// Every layout in the cache, by repository.
  [[nodiscard]] std::vector<std::pair<std::string, OciLayout>> layouts() const;

  /// Has it been brought with one job's credentials only? Then another job has to show the registry its own.
  [[nodiscard]] bool is_private(const StoredImage& image) const;

  /// Notes that the image is used now: `prune` goes by that.
  void mark_used(const StoredImage& image) const;

  /// Waits for blobs_lock, making the layout if there is none. Throws as FileLock does.
  [[nodiscard]] FileLock lock_blobs(const OciLayout& layout) const;

  /// Names the manifest in the cache.
  void tag(const OciLayout& layout, const Descriptor& manifest, const std::string& tag) const;

  /// Unpacks the disks for a base VM to `vmdir`/`name`, unless they are there already. Every disk is checked
  /// against its diff_id, and the files refer to each other only. Throws Error also when the folder holds
  /// something else.
  UnpackedImage unpack(const StoredImage& image, const std::string& name, const DiskProgress& progress) const;

  /// The same for VMs that share the disks, jobs' and clones', to a folder that is named by the manifest's
  /// digest: that covers all that is in it. Its files are read-only. If they are no longer what was unpacked,
  /// which is said, they are unpacked again.
  UnpackedImage unpack_shared(const StoredImage& image, const DiskProgress& progress) const;

  /// fetch_as() and unpack() or unpack_shared() in one: layers are unpacked while others are still on their
  /// way. What is refused is not named, and nothing of it stays.
  ObtainedImage obtain(const ObtainRequest& request, Registry& registry, const RegistryAccess& access) const;

  [[nodiscard]] const std::filesystem::path& ocidir() const { return settings_.ocidir; }

  [[nodiscard]] const std::filesystem::path& vmdir() const { return settings_.vmdir; }

 private:
  /// Where the disks of an image go, and how.
  struct UnpackPlace {
    std::string name;  ///< of a folder in vmdir
    DiskSharing sharing;
  };

  [[nodiscard]] FileLock lock_unpacked(const std::string& name) const;
  [[nodiscard]] FileLock::Waiting waiting(const std::string& what) const;
  [[nodiscard]] static StoredImage read(const ImageReference& reference, const OciLayout& layout,
                                        const IndexEntry& entry);
  [[nodiscard]] StoredImage bring(const ObtainRequest& request, const AnnouncedImage& announced,
                                  Registry& registry, const RegistryAccess& access) const;
  [[nodiscard]] UnpackedImage unpack_to(const StoredImage& image, const UnpackPlace& place,
                                        const DiskProgress& progress) const;
  [[nodiscard]] UnpackedImage unpack_anew(const StoredImage& image, const UnpackPlace& place,
                                          const DiskProgress& progress) const;
  [[nodiscard]] std::optional<UnpackedImage> adopt(const StoredImage& image, const UnpackPlace& place) const;
  [[nodiscard]] UnpackedImage adopt_unmarked(const StoredImage& image,
                                             const std::filesystem::path& folder) const;
  [[nodiscard]] KnownSpans known_spans() const;
  [[nodiscard]] static UnpackPlace place_for(const ObtainRequest& request, const Digest& config,
                                             const Digest& manifest);
  [[nodiscard]] std::optional<ObtainedImage> fetch_and_unpack(const ObtainRequest& request,
                                                              Registry& registry,
                                                              const AnnouncedImage& announced,
                                                              const RegistryAccess& access) const;

  StoreSettings settings_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace sarde
