#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/system/clock.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/process_identity.hpp"

namespace sarde {

/// What `prepare` found out and `run` needs: how to access the job's VM.
struct JobRecord {
  std::string address;  ///< IPv4 or IPv6, numeric
  std::uint16_t port = 0;
  std::string host_key;  ///< the guest's, as first seen: `type base64`
  std::string username;
  Secret password;
  std::string identity_file;  ///< a path, or empty
  bool use_agent = false;     ///< the SSH agent's keys are tried
  bool legacy_ssh = false;    ///< the guest may use SSH's old algorithms
  std::string shell;
  std::string timezone = {};              ///< TZ of the job's scripts; empty: the guest's
  std::string path_folder = {};           ///< in the guest, at the end of the scripts' PATH; empty: none
  std::uint64_t saved_state = 0;          ///< bytes of what the VM continued from; 0: it booted
  std::uint64_t disk_limit = UINT64_MAX;  ///< bytes that the job may write to its disks
  std::string disk_server = {};           ///< the folder of the image that is being served; empty: none
  std::uint64_t room = 0;                 ///< free bytes on the disks' file system when the VM started
};

/// What people want to know of a job. Its author chose most of the text.
struct JobDescription {
  std::string id;
  std::string project;
  std::string name;
  std::string image;
  std::int64_t since = 0;  ///< seconds since 1970-01-01 UTC
};

/// The owner of a job: the runner's process, and the file that it keeps for the job until `cleanup` has run.
struct JobOwner {
  ProcessIdentity runner;
  std::filesystem::path response_file;  ///< JOB_RESPONSE_FILE, as the runner sees it
};

/// The folder of one job, `<jobsdir>/<VM name>`, with its record, overlays and console log. Only the
/// program's own account can access it until QEMU's account is given access (QemuAccess).
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

  /// Creates the folder, which must not exist yet. Its lock is held from the moment that the folder appears.
  /// Throws Error. `prepare` holds the lock while it works: if the lock is free and there is no record,
  /// `prepare` was killed.
  [[nodiscard]] FileLock create(const std::optional<JobOwner>& owner) const;

  /// Removes the folder with its contents. It disappears from view at once, and a process that is still
  /// looking at it cannot create a file in it in the meantime. Does nothing if there is none. Throws Error.
  void remove() const;

  /// Returns nothing if the owner is not known.
  [[nodiscard]] std::optional<JobOwner> owner() const;

  /// Returns nothing if the lock is already held.
  [[nodiscard]] std::optional<FileLock> try_lock() const;

  /// Whether there is a record, which means that `prepare` has completed.
  [[nodiscard]] bool is_prepared() const;

  /// Records that a VM is about to be started and must be destroyed later.
  void expect_vm() const;

  [[nodiscard]] bool expects_vm() const;

  /// Whether somebody holds the lock: `prepare`, or whoever removes the folder.
  [[nodiscard]] bool is_locked() const;

  /// Puts the job into the queue of those that wait for room on the host (Admission), under this number.
  void take_ticket(std::uint64_t number) const;

  [[nodiscard]] std::optional<std::uint64_t> ticket() const;

  /// Reserves this much of the host's memory for the job's VM, as long as the folder is there. Replaces the
  /// ticket.
  void reserve(std::uint64_t mib) const;

  /// Returns nothing if there is no reservation.
  [[nodiscard]] std::optional<std::uint64_t> reservation() const;

  /// Records the image that the job's disks come from, which prevents the image from being removed.
  void note_image(const std::string& config_digest) const;

  /// Returns nothing if no image has been recorded yet.
  [[nodiscard]] std::optional<std::string> image() const;

  void describe(const JobDescription& description) const;

  /// Returns nothing if the job has not come so far.
  [[nodiscard]] std::optional<JobDescription> description() const;

  /// Notes the stage whose script runs now; empty: none does.
  void note_stage(const std::string& stage) const;

  [[nodiscard]] std::string stage() const;

  /// Notes that a script of the job has failed, so its VM is to be kept for this long when the job is over.
  void keep_after_job(std::chrono::seconds time) const;

  /// Returns nothing unless that was noted.
  [[nodiscard]] std::optional<std::chrono::seconds> time_to_keep() const;

  /// Keeps the VM until then, although the job is over.
  void keep_until(const Moment& moment) const;

  /// Returns nothing if the job is not over, or if its VM was not kept.
  [[nodiscard]] std::optional<Moment> kept_until() const;

  void write(const JobRecord& record) const;

  /// Returns nothing if the job was not prepared or has been cleaned up. Throws Error.
  [[nodiscard]] std::optional<JobRecord> read() const;

 private:
  std::filesystem::path path_;
};

}  // namespace sarde
