#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "core/image/registry/registry.hpp"
#include "core/image/store/image_catalogue.hpp"
#include "core/image/store/partial_image.hpp"
#include "core/image/store/unpacked_images.hpp"

namespace sarde {

/// How an image is obtained.
struct ObtainRequest {
  ImageReference reference;  ///< what it is called here
  ImageReference source;     ///< and at the registry
  std::string folder = {};   ///< the base VM's name; empty: the config's digest
  /// Jobs' and clones' VMs share the disks; a base VM has its own, in a folder of its name.
  DiskSharing sharing = DiskSharing::many;
  /// Whether the disks' blobs stay in the cache when the disks have been unpacked.
  bool keep_blobs = true;
  /// Whether `announced` is what the cache has, and not a registry's answer to somebody who may have the
  /// image.
  bool is_from_cache = false;
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

/// The request for an image that the cache has, but for its disks' blobs, which are not to stay.
ObtainRequest request_for(const StoredImage& image);

/// An image whose disks are still to come, but for what QEMU needs to open them.
struct PartlyObtained {
  StoredImage image;
  PartialImage disks;
};

class ArrivingBlobs;

/// Fetches images from registries into the cache, and unpacks their disks. Several processes may call every
/// function at the same time. The result is complete or absent, and nothing remains of a refused image.
class ImageFetcher {
 public:
  struct Parts {
    const StoreSettings& settings;
    const StoreLocks& locks;
    const ImageCatalogue& catalogue;
    const UnpackedImages& unpacked;
    Clock& clock;
    Cancellation& cancellation;
  };

  explicit ImageFetcher(Parts parts) : parts_(parts) {}

  /// Fetches what the cache lacks of the image. `source` is the image's name at the registry.
  StoredImage fetch(const ImageReference& reference, const ImageReference& source, Registry& registry,
                    const RegistryAccess& access) const;

  /// Brings what describes the image from the registry into `layout`, which is to be thrown away, and which
  /// then has no blobs of its disks.
  StoredImage fetch_description(const ImageReference& reference, const OciLayout& layout, Registry& registry,
                                const RegistryAccess& access) const;

  /// Fetches what the cache lacks of an image that it has otherwise, by the image's own name and digest.
  StoredImage complete(const StoredImage& image, Registry& registry, const RegistryAccess& access) const;

  /// Fetches and unpacks at the same time: layers are unpacked while others are still being transferred. A
  /// refused image is not tagged.
  ObtainedImage obtain(const ObtainRequest& request, Registry& registry, const RegistryAccess& access) const;

  /// Whether the image's disks can be obtained partly: the registry gives blobs one by one, and each layer
  /// can be unpacked by itself. False if the cache has them, packed or unpacked.
  [[nodiscard]] bool can_obtain_partly(const ObtainRequest& request, Registry& registry) const;

  /// Fetches what describes the announced image, names it in the cache, and fetches of its disks what QEMU
  /// needs to open them; of `whole`, which are names of files, everything. The caller holds the lock of the
  /// unpacked image. Nothing stays of a refused image.
  [[nodiscard]] PartlyObtained obtain_partly(
      const ObtainRequest& request, const std::function<std::set<std::string>(const StoredImage&)>& whole,
      Registry& registry, const RegistryAccess& access) const;

  /// Only what describes the announced image.
  [[nodiscard]] StoredImage obtain_description(const ObtainRequest& request, Registry& registry,
                                               const RegistryAccess& access) const;

 private:
  /// Which blobs are wanted in the cache.
  enum class Extent { all, without_disks };

  void check_sizes(const AnnouncedImage& announced) const;
  [[nodiscard]] StoredImage bring(const ObtainRequest& request, const AnnouncedImage& announced,
                                  Extent extent, Registry& registry, const RegistryAccess& access) const;
  static StoredImage read_description(const ObtainRequest& request, const AnnouncedImage& announced,
                                      const OciLayout& layout, ArrivingBlobs& blobs);
  [[nodiscard]] std::optional<ObtainedImage> fetch_and_unpack(const ObtainRequest& request,
                                                              const AnnouncedImage& announced,
                                                              Registry& registry,
                                                              const RegistryAccess& access) const;
  [[nodiscard]] std::optional<ObtainedImage> unpack_arriving(const ObtainRequest& request,
                                                             const AnnouncedImage& announced,
                                                             const UnpackPlace& place, bool reuse,
                                                             Registry& registry,
                                                             const RegistryAccess& access) const;

  Parts parts_;
};

}  // namespace sarde
