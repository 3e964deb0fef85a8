#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/image/store/image_store.hpp"

namespace sarde {

/// In the folder of an unpacked image: saved states of VMs (WarmTemplates).
inline constexpr auto warm_folder = ".warm";

/// Whether files are removed, or only counted.
enum class Removal { real, pretended };

struct RemovedFiles {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  ///< of disk space
};

/// An unpacked image in vmdir, whole and with its marker.
struct UnpackedFolder {
  std::filesystem::path path;
  std::string config_digest;
  bool is_shared = false;      ///< jobs' and clones' VMs read it, and nobody writes there
  bool disks_changed = false;  ///< or more is beside them: what somebody wrote there is nowhere else
  bool is_unusable = false;    ///< shared disks that are unpacked again when they are needed
  std::string lock = {};       ///< whose lock it has (unpacked_lock()), if not its own name's
};

/// The unpacked images, and those of which a part is there (PartialImage).
std::vector<UnpackedFolder> unpacked_folders(const std::filesystem::path& vmdir);

/// Held while an image is removed, so that no other process fetches, exports or unpacks it in the meantime.
class ImageLocks {
 public:
  /// Nothing if another process is using the image.
  static std::optional<ImageLocks> try_for(const ImageStore& images, const std::string& config_digest,
                                           const std::vector<CatalogEntry>& entries,
                                           const std::vector<UnpackedFolder>& folders);

 private:
  std::vector<FileLock> held_;
};

/// Takes these entries out of their layouts' indexes, and removes the blobs that no other entry there names.
/// Under ImageLocks. Throws Error, before anything is removed of a layout that cannot be read wholly.
RemovedFiles remove_entries(const std::vector<CatalogEntry>& gone, const FileLock::Waiting& waiting,
                            Removal removal);

/// Removes temporary files and folders in this folder whose makers do not live any more, and adds them to
/// `removed`.
void remove_abandoned_in(const std::filesystem::path& folder, Removal removal, RemovedFiles& removed);

/// Removes temporary files and folders whose makers do not live any more, of the images' folders and of
/// `more_folders`.
RemovedFiles remove_abandoned_files(const ImageStore& images,
                                    const std::vector<std::filesystem::path>& more_folders, Removal removal);

/// Removes blobs that no entry of their layout names, and what a killed process left: all of it only if older
/// than `grace`, because other programs store blobs before the index names them. A layout that cannot be read
/// completely, or to which blobs are being added, is left as it is and reported to `complain`.
RemovedFiles remove_unreferenced(const ImageStore& images, std::chrono::seconds grace, Removal removal,
                                 const std::function<void(const std::string&)>& complain);

/// Removes an unpacked image, all at once to others. Under ImageLocks.
RemovedFiles remove_unpacked(const UnpackedFolder& folder, Removal removal);

/// Disk space taken by all files below a folder.
std::uint64_t disk_space_of(const std::filesystem::path& folder);

/// Seconds since the image was last used or fetched, by its manifest's file and its unpacked folders.
std::chrono::seconds unused_for(const CatalogEntry& entry, const std::vector<UnpackedFolder>& folders);

/// The same for an unpacked image whose packed form is gone.
std::chrono::seconds unused_for(const UnpackedFolder& folder);

}  // namespace sarde
