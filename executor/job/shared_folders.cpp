#include "executor/job/shared_folders.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "executor/job/guest_answer.hpp"

namespace sarde {

namespace {

namespace fs = std::filesystem;

bool is_plain_path(const std::string& path) {
  return path.starts_with('/') && path.find("..") == std::string::npos &&
         printable_line(path, path.size() + 1) == path;
}

FolderMount parse_mount(const std::string& text) {
  const auto parts = split(text, ':');
  const auto refused = "mounts: " + quote(text);
  if (parts.size() < 2 || parts.size() > 3 || !is_plain_path(parts[0]) || !is_plain_path(parts[1]) ||
      (parts.size() == 3 && parts[2] != "ro" && parts[2] != "rw"))
    throw Error(refused + " is not HOST:GUEST or HOST:GUEST:ro, with two absolute paths");
  std::error_code missing;
  if (!fs::is_directory(parts[0], missing))
    throw Error(refused + ": there is no folder " + parts[0] + " on this host");
  return {.shared = {.folder = fs::canonical(parts[0]),
                     .tag = {},
                     .read_only = parts.size() == 3 && parts[2] == "ro"},
          .place = parts[1]};
}

/// A project's folder below the administrator's, which only this program's account may enter.
FolderMount own_folder(const fs::path& base, const std::string& project, const std::string& place) {
  make_folders(base, 0700);
  const auto folder = base / project;
  make_folders(folder, 0700);
  std::error_code ignored;
  if (fs::is_symlink(folder, ignored))
    throw Error("use " + folder.string() + " for jobs: it is a symbolic link");
  return {.shared = {.folder = fs::canonical(folder), .tag = {}}, .place = place, .is_the_jobs = true};
}

/// For each: make the place, mount, and give it to the login user if it is the job's.
std::string mount_program(const std::vector<FolderMount>& mounts) {
  std::string program = "user=$(id -u):$(id -g); as=; [ \"$(id -u)\" = 0 ] || as='sudo -n'\n";
  for (const auto& mount : mounts) {
    const bool is_virtiofs = mount.shared.type == ShareType::virtiofs;
    const std::string options = is_virtiofs ? "rw" : "trans=virtio,version=9p2000.L,msize=262144";
    const auto place = shell_quoted(mount.place);
    program += "$as mkdir -p " + place + " && $as mount -t " + (is_virtiofs ? "virtiofs" : "9p") + " -o " +
               options + (mount.shared.read_only ? ",ro" : "") + " " + mount.shared.tag + " " + place +
               (mount.is_the_jobs ? " && $as chown $user " + place : "") + " || { echo failed " +
               mount.shared.tag + "; exit; }\n";
  }
  return program + "echo mounted\n";
}

}  // namespace

std::vector<FolderMount> mounts_of(const Job& job, const MountRules& rules, Reporter& reporter) {
  std::vector<FolderMount> mounts;
  for (const auto& text : rules.mounts) mounts.push_back(parse_mount(text));
  const auto project = rules.all_projects ? std::string("all") : job.project_key;
  const bool wants_own = !rules.builds_dir.empty() || !rules.cache_dir.empty();
  if (wants_own && project.empty()) {
    reporter.say("This job belongs to no project, so it gets no folders of builds-dir and cache-dir");
  } else {
    if (!rules.builds_dir.empty())
      mounts.push_back(own_folder(rules.builds_dir, project, rules.guest_builds_dir));
    if (!rules.cache_dir.empty())
      mounts.push_back(own_folder(rules.cache_dir, project, rules.guest_cache_dir));
  }
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    auto& shared = mounts[i].shared;
    shared.tag = "sarde" + std::to_string(i);
    shared.type = rules.type;
    if (!shared.read_only || rules.type != ShareType::virtiofs) continue;
    std::error_code missing;
    if (!fs::exists(rules.read_only_server, missing))
      throw Error(
          "mount " + shared.folder.string() + " read-only: " + rules.read_only_server.string() +
          " is missing; install the program with 'cmake --install', or make it a link to sarde-executor");
    shared.virtiofsd = rules.read_only_server;
  }
  return mounts;
}

void let_qemu_share(const QemuAccess& access, const std::vector<FolderMount>& mounts) {
  for (const auto& mount : mounts) {
    // virtiofsd is root's.
    if (!mount.is_the_jobs || mount.shared.type == ShareType::virtiofs) continue;
    access.enter(mount.shared.folder.parent_path());
    access.share(mount.shared.folder);
  }
}

void mount_in_guest(GuestShell& guest, const std::vector<FolderMount>& mounts,
                    const std::function<void()>& watch, TimePoint deadline, Cancellation& cancellation) {
  if (mounts.empty()) return;
  const auto said = trimmed(
      ask_guest(guest,
                {.content = mount_program(mounts), .shell = "sh", .deadline = deadline, .watch = watch},
                cancellation)
          .text);
  if (said == "mounted") return;
  for (const auto& mount : mounts)
    if (said == "failed " + mount.shared.tag)
      throw Error("mount " + mount.shared.folder.string() + " at " + mount.place +
                  " in the guest: it failed; the guest's kernel needs " +
                  (mount.shared.type == ShareType::virtiofs ? "virtiofs" : "9p over virtio") +
                  ", and the login user must be root or have sudo without a password");
  throw Error("mount folders in the guest: it did not answer within boot-timeout");
}

}  // namespace sarde
