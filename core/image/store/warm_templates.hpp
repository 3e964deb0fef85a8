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
  std::filesystem::path folder = {};
  std::int64_t made = 0;                ///< seconds since 1970-01-01 UTC
  std::chrono::seconds max_age{};       ///< after which it is not used any more
  std::string shape = {};               ///< of the VM (guest_shape())
  std::string host_key = {};            ///< of the guest: `type base64`
  std::chrono::milliseconds boot{};     ///< how long the VM took to boot
  std::vector<std::string> disks = {};  ///< whose frozen layers are here, by their names in the image
  bool is_proven = false;               ///< two VMs that continued from it had different random numbers
  std::string refusal = {};             ///< why there is none, and none is made for a while; empty: it is one
  std::uint64_t bytes = 0;              ///< of disk space

  [[nodiscard]] std::filesystem::path state() const { return folder / "state"; }

  [[nodiscard]] std::filesystem::path disk(const std::string& name) const {
    return folder / ("disk-" + name);
  }
};

/// The templates of one image for one kind of VM, of which there is one, or, while it is replaced, two: each
/// has a folder of its own name, so what a VM finds in one belongs together or is gone. Calls may be made by
/// several processes at once. They throw Error.
class WarmTemplates {
 public:
  /// `image`: the folder of the unpacked image. `key`: all that a VM must have in common with the one that
  /// was saved.
  WarmTemplates(const std::filesystem::path& image, const std::string& key);

  /// Of all kinds, for people. What cannot be read is left out.
  static std::vector<WarmTemplate> all_of(const std::filesystem::path& image);

  /// Removes those in `vmdir` that are too old.
  static RemovedFiles remove_old(const std::filesystem::path& vmdir, const Clock& clock, Removal removal);

  /// The newest, unless it is too old. What cannot be read is none.
  [[nodiscard]] std::optional<WarmTemplate> find(const Clock& clock) const;

  /// Whether its files still are what was saved: every byte the first time after a boot of this machine,
  /// sizes and times of change otherwise. Blocks while it reads.
  static bool is_whole(const WarmTemplate& made, const Clock& clock, Cancellation& cancellation);

  /// A folder for the files of a new one, which is removed unless it is given to keep(). What was left behind
  /// here by others goes first.
  [[nodiscard]] TempFolder begin(const Clock& clock) const;

  /// Reads and records the files in the folder, which becomes the template in place of earlier ones.
  void keep(TempFolder files, const WarmTemplate& made, const Clock& clock, Cancellation& cancellation) const;

  /// Records that it was proven.
  static void note_proof(WarmTemplate made);

  /// Removes what there is, and records why there is none, and that none is to be made for an hour.
  void refuse(const std::string& why, const Clock& clock) const;

  /// Removes it, all at once to others. VMs that run go on.
  static void drop(const WarmTemplate& made);

  /// Held while a template is made or proven; nothing if another process holds it.
  [[nodiscard]] std::optional<FileLock> try_lock() const;

  /// Waits for it. Throws Error at the deadline.
  [[nodiscard]] FileLock lock(const FileLock::Waiting& waiting) const;

 private:
  void replace_by(TempFolder files) const;

  std::filesystem::path folder_;  ///< of all templates of the image
  std::string name_;              ///< with which the names of the folders begin
};

}  // namespace sarde
