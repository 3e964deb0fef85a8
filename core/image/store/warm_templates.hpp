#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/store/image_removal.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

/// The saved state of a VM that had booted from an image, from which other VMs continue: files in a folder of
/// its own, below the unpacked image's. Everything in it goes with the image.
struct WarmTemplate {
  std::int64_t made = 0;             ///< seconds since 1970-01-01 UTC
  std::string shape;                 ///< of the VM (guest_shape())
  std::string host_key;              ///< of the guest: `type base64`
  std::chrono::milliseconds boot{};  ///< how long the VM took to boot
  std::vector<std::string> disks;    ///< whose frozen layers are here, by their names in the image
  bool is_proven = false;            ///< two VMs that continued from it had different random numbers
  std::string refusal = {};          ///< why no VM can continue from this image's state; empty: it can
  std::uint64_t bytes = 0;           ///< of disk space
};

/// The template of one image for one kind of VM. Calls may be made by several processes at once. They throw
/// Error.
class WarmTemplates {
 public:
  /// `image`: the folder of the unpacked image. `key`: all that a VM must have in common with the one that
  /// was saved.
  WarmTemplates(const std::filesystem::path& image, const std::string& key);

  /// Of all kinds, for people. What cannot be read is left out.
  static std::vector<WarmTemplate> all_of(const std::filesystem::path& image);

  /// Removes those in `vmdir` that are older than this.
  static RemovedFiles remove_old(const std::filesystem::path& vmdir, const Clock& clock,
                                 std::chrono::seconds max_age, Removal removal);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  [[nodiscard]] std::filesystem::path state() const { return state_in(folder_); }

  [[nodiscard]] std::filesystem::path disk(const std::string& name) const { return disk_in(folder_, name); }

  static std::filesystem::path state_in(const std::filesystem::path& folder) { return folder / "state"; }

  static std::filesystem::path disk_in(const std::filesystem::path& folder, const std::string& name) {
    return folder / ("disk-" + name);
  }

  /// Nothing if there is none, or if it cannot be read. One that is older than `max_age` is removed.
  [[nodiscard]] std::optional<WarmTemplate> find(const Clock& clock, std::chrono::seconds max_age) const;

  /// Whether its files still are what was saved: every byte the first time after a boot of this machine,
  /// sizes and times of change otherwise. Blocks while it reads.
  [[nodiscard]] bool is_whole(const Clock& clock, Cancellation& cancellation) const;

  /// A folder for the files of a new one, which is removed unless it is given to keep().
  [[nodiscard]] TempFolder begin() const;

  /// Reads and records the files in the folder, which becomes the template in place of an earlier one.
  void keep(TempFolder files, const WarmTemplate& made, const Clock& clock, Cancellation& cancellation) const;

  /// Records that it was proven.
  void note_proof(WarmTemplate made) const;

  /// Removes its files and records, until it gets too old, why there is none.
  void refuse(const std::string& why, const Clock& clock) const;

  /// Removes it, all at once to others. VMs that run go on.
  void drop() const;

  /// Held while a template is made or proven; nothing if another process holds it.
  [[nodiscard]] std::optional<FileLock> try_lock() const;

  /// Waits for it. Throws Error at the deadline.
  [[nodiscard]] FileLock lock(const FileLock::Waiting& waiting) const;

 private:
  explicit WarmTemplates(std::filesystem::path folder);

  std::filesystem::path folder_;
};

}  // namespace sarde
