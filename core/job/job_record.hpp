#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/process_identity.hpp"

namespace sarde {

/// What `prepare` found out and `run` needs: how to get into the job's VM.
struct JobRecord {
  std::string address;  ///< IPv4 or IPv6, numeric
  std::uint16_t port = 0;
  std::string host_key;  ///< the guest's, as first seen: `type base64`
  std::string username;
  Secret password;
  std::string identity_file;  ///< a path, or empty
  std::string shell;
  std::uint64_t disk_limit = UINT64_MAX;  ///< bytes that the job may write to its disks
  std::uint64_t room = 0;                 ///< bytes that were free where the disks are, when the VM started
};

/// Whose job it is: the runner's process, and the file that it keeps for the job until `cleanup` has run.
struct JobOwner {
  ProcessIdentity runner;
  std::filesystem::path response_file;  ///< JOB_RESPONSE_FILE, as the runner sees it
};

/// The folder of one job, `<jobsdir>/<VM name>`: its record, overlays, console log. Open to our own account
/// only, until QEMU's may enter (QemuAccess).
class JobFolder {
 public:
  explicit JobFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  [[nodiscard]] std::filesystem::path console_log() const { return path_ / "console.log"; }

  [[nodiscard]] std::filesystem::path nvram() const { return path_ / "nvram.fd"; }

  [[nodiscard]] std::filesystem::path network() const { return path_ / "network"; }

  [[nodiscard]] std::filesystem::path authfile() const { return path_ / "auth.json"; }

  [[nodiscard]] std::filesystem::path overlay(const std::string& disk) const {
    return path_ / ("overlay-" + disk);
  }

  /// Makes the folder, with its lock taken from the moment that it appears; there must be none. Throws Error.
  /// `prepare` holds the lock while it works: who finds it free and no record knows that `prepare` was
  /// killed.
  [[nodiscard]] FileLock create(const std::optional<JobOwner>& owner) const;

  /// Takes the folder away with all in it: from others' sight at once, so that nobody who still looks at it
  /// makes a file in it meanwhile. Fine if there is none. Throws Error.
  void remove() const;

  /// Nothing where it is not known.
  [[nodiscard]] std::optional<JobOwner> owner() const;

  /// Nothing if somebody else holds the lock.
  [[nodiscard]] std::optional<FileLock> try_lock() const;

  /// Is there a record: has `prepare` come to its end?
  [[nodiscard]] bool is_prepared() const;

  /// Notes that a VM is about to be started, so that from now on somebody has to take one down.
  void expect_vm() const;

  [[nodiscard]] bool expects_vm() const;

  /// Notes the image that the job's disks come from, so that nobody removes it.
  void note_image(const std::string& config_digest) const;

  /// Nothing where none was noted yet.
  [[nodiscard]] std::optional<std::string> image() const;

  void write(const JobRecord& record) const;

  /// Nothing where the job was not prepared, or is cleaned up. Throws Error.
  [[nodiscard]] std::optional<JobRecord> read() const;

 private:
  std::filesystem::path path_;
};

}  // namespace sarde
