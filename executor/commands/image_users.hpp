#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/image/store/image_removal.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// Who uses which image: VMs, running or not, according to the files that their disks read from, and jobs
/// according to what their folders record. Throws Error if libvirt cannot be asked, because then it is not
/// known who uses an image.
class ImageUsers {
 public:
  ImageUsers(Inventory& inventory, const std::vector<UnpackedFolder>& folders,
             const std::vector<std::filesystem::path>& jobsdirs);

  /// The names of the VMs and jobs that use an image, by its config's digest; empty if nothing uses it.
  [[nodiscard]] std::vector<std::string> of(const std::string& config_digest) const;

  /// The same without the VM that `import` defined for the image under its own name.
  [[nodiscard]] std::vector<std::string> but_base_vm(const std::string& config_digest) const;

  /// A disk of the VM that has the image's own name (its config's digest), if the disk is in none of the
  /// image's unpacked folders: another program made it, or it was unpacked to another vmdir.
  [[nodiscard]] std::optional<std::filesystem::path> file_of_base_vm_elsewhere(
      const std::string& config_digest) const;

 private:
  void note_base_vm(const DomainFiles& domain, const std::vector<UnpackedFolder>& folders);

  std::map<std::string, std::filesystem::path> elsewhere_;  ///< by config digest
  std::multimap<std::string, std::string> users_;           ///< config digest → VM's name
};

}  // namespace sarde
