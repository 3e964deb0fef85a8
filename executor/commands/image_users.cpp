#include "executor/commands/image_users.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_chain.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/job/job_record.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// The file and its backing files, as far as they can be followed.
void follow(const fs::path& file, std::set<fs::path>& files) {
  std::error_code error;
  const auto path = fs::weakly_canonical(file, error);
  if (error || !files.insert(path).second || !fs::is_regular_file(path, error)) return;
  try {
    const auto header = read_qcow2_header(path);
    if (!header || !header->backing_file) return;
    // QEMU resolves the name from the path as given. Following the real path as well is on the safe side.
    follow(backing_path(file, *header->backing_file), files);
    follow(backing_path(path, *header->backing_file), files);
  } catch (const Error&) {
    // A disk that cannot be read cannot be followed any further, but its folder still counts as used.
  }
}

/// As far as it can be found out.
fs::path real_path(const fs::path& path) {
  std::error_code error;
  auto real = fs::weakly_canonical(path, error);
  return error ? path : real;
}

bool is_inside(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

}  // namespace

ImageUsers::ImageUsers(Inventory& inventory, const std::vector<UnpackedFolder>& folders,
                       const std::vector<fs::path>& jobsdirs) {
  for (const auto& domain : inventory.domain_files()) {
    std::set<fs::path> files;
    for (const auto& file : domain.files) follow(file, files);
    if (Digest::parse(domain.name)) note_base_vm(domain, folders);
    for (const auto& folder : folders) {
      const auto real = real_path(folder.path);
      const bool uses =
          std::ranges::any_of(files, [&](const fs::path& file) { return is_inside(file, real); });
      if (uses) users_.emplace(folder.config_digest, domain.name);
    }
  }
  for (const auto& jobsdir : jobsdirs) {
    for (const auto& job : folder_entries(jobsdir)) {
      if (const auto digest = JobFolder(job).image()) users_.emplace(*digest, job.filename().string());
    }
  }
}

void ImageUsers::note_base_vm(const DomainFiles& domain, const std::vector<UnpackedFolder>& folders) {
  users_.emplace(domain.name, domain.name);
  for (const auto& file : domain.files) {
    const auto real = real_path(file);
    const bool is_known = std::ranges::any_of(folders, [&](const UnpackedFolder& folder) {
      return folder.config_digest == domain.name && is_inside(real, real_path(folder.path));
    });
    if (!is_known) elsewhere_.emplace(domain.name, real);
  }
}

std::optional<fs::path> ImageUsers::file_of_base_vm_elsewhere(const std::string& config_digest) const {
  const auto found = elsewhere_.find(config_digest);
  return found == elsewhere_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> ImageUsers::of(const std::string& config_digest) const {
  std::set<std::string> names;
  const auto [first, last] = users_.equal_range(config_digest);
  for (auto user = first; user != last; ++user) names.insert(user->second);
  return {names.begin(), names.end()};
}

std::vector<std::string> ImageUsers::but_base_vm(const std::string& config_digest) const {
  auto names = of(config_digest);
  std::erase(names, config_digest);
  return names;
}

}  // namespace sarde
