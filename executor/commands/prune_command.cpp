#include "executor/commands/prune_command.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/commands/image_users.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

/// Other programs put blobs into a layout before they name them.
constexpr std::chrono::seconds grace(3600);

/// What one call removed, or would remove.
class Outcome {
 public:
  explicit Outcome(const CommandParts& parts) : parts_(parts) {}

  [[nodiscard]] Removal removal() const {
    return parts_.settings.call.dry_run ? Removal::pretended : Removal::real;
  }

  void name(const std::string& name) { names_.push_back(name); }

  void count(const RemovedFiles& removed) {
    removed_.files += removed.files;
    removed_.bytes += removed.bytes;
  }

  [[nodiscard]] std::uint64_t bytes() const { return removed_.bytes; }

  /// Says it, and gives what stdout gets.
  [[nodiscard]] std::string finish() const {
    parts_.reporter.say((parts_.settings.call.dry_run ? "Would remove " : "Removed ") +
                        std::to_string(names_.size()) + " image(s), " + std::to_string(removed_.files) +
                        " file(s) or folder(s), " + size_text(removed_.bytes));
    if (!parts_.settings.call.json) return join(names_, "\n");
    return ordered_json{{"images", names_}, {"files", removed_.files}, {"bytes", removed_.bytes}}.dump(2);
  }

 private:
  const CommandParts& parts_;
  std::vector<std::string> names_;
  RemovedFiles removed_;
};

FileLock::Waiting waiting(const CommandParts& parts) {
  return {.clock = parts.clock,
          .cancellation = parts.cancellation,
          .deadline = parts.clock.now() + parts.settings.fetch_timeout};
}

std::function<void(const std::string&)> complaint(const CommandParts& parts) {
  return [&](const std::string& line) { parts.reporter.warn("WARNING: " + line); };
}

class Pruning {
 public:
  explicit Pruning(const CommandParts& parts)
      : parts_(parts),
        outcome_(parts),
        entries_(parts.images.catalog(complaint(parts))),
        folders_(unpacked_folders(parts.images.vmdir())) {}

  std::string run() {
    const auto& call = parts_.settings.call;
    outcome_.count(remove_unreferenced(parts_.images, grace, outcome_.removal(), complaint(parts_)));
    if (call.older_than || call.budget) {
      users_.emplace(parts_, folders_);
      find_candidates();
    }
    if (call.older_than) remove_older_than(*call.older_than);
    if (call.budget) fit_into(*call.budget);
    return outcome_.finish();
  }

 private:
  /// All names and unpacked folders of one image.
  struct Candidate {
    std::vector<CatalogEntry> entries;
    std::vector<UnpackedFolder> folders;
    std::chrono::seconds unused{};
  };

  void find_candidates() {
    std::map<std::string, Candidate> images;
    for (const auto& entry : entries_) images[entry.config_digest.text()].entries.push_back(entry);
    for (const auto& folder : folders_) images[folder.config_digest].folders.push_back(folder);
    for (auto& [digest, image] : images) {
      if (const auto users = users_->of(digest); !users.empty()) {
        parts_.reporter.detail("Image " + digest + " is used by " + join(users, ", "));
        continue;
      }
      // What somebody wrote into unpacked disks is nowhere else.
      std::erase_if(image.folders, [](const UnpackedFolder& folder) { return folder.disks_changed; });
      if (image.entries.empty() && image.folders.empty()) continue;
      image.unused = std::chrono::seconds::max();
      for (const auto& entry : image.entries)
        image.unused = std::min(image.unused, unused_for(entry, folders_));
      for (const auto& folder : image.folders) image.unused = std::min(image.unused, unused_for(folder));
      candidates_.push_back(std::move(image));
    }
    std::ranges::sort(candidates_, std::ranges::greater(), &Candidate::unused);
  }

  void remove(const Candidate& image) {
    outcome_.count(remove_entries(image.entries, parts_.images, waiting(parts_), outcome_.removal()));
    for (const auto& folder : image.folders) outcome_.count(remove_unpacked(folder, outcome_.removal()));
    for (const auto& entry : image.entries) outcome_.name(entry.name());
    if (image.entries.empty()) outcome_.name(image.folders.front().path.filename().string());
  }

  void remove_older_than(std::chrono::seconds age) {
    while (!candidates_.empty() && candidates_.front().unused >= age) {
      remove(candidates_.front());
      candidates_.erase(candidates_.begin());
    }
  }

  void fit_into(std::uint64_t budget) {
    const auto before = disk_space_of(parts_.images.ocidir()) + disk_space_of(parts_.images.vmdir());
    // What is gone already is not in that sum, what is only pretended to be gone is.
    const auto gone_already = outcome_.removal() == Removal::real ? outcome_.bytes() : 0;
    const auto now = [&] { return before - std::min(before, outcome_.bytes() - gone_already); };
    for (const auto& image : candidates_) {
      if (now() <= budget) return;
      remove(image);
    }
    if (now() > budget)
      parts_.reporter.warn("WARNING: the images still take " + size_text(now()) +
                           ", more than the budget of " + size_text(budget) +
                           ": all that are left are used by VMs or jobs (-v names them)");
  }

  const CommandParts& parts_;
  Outcome outcome_;
  std::vector<CatalogEntry> entries_;
  std::vector<UnpackedFolder> folders_;
  std::optional<ImageUsers> users_;
  std::vector<Candidate> candidates_;
};

}  // namespace

std::string prune_images(const CommandParts& parts) {
  return Pruning(parts).run();
}

std::string remove_image(const CommandParts& parts, const std::string& container) {
  const auto image = parts.images.load(ImageReference::parse(container));
  const auto digest = image.config_digest.text();
  const auto doing = "remove image " + quote(image.reference.text());
  Outcome outcome(parts);
  std::vector<CatalogEntry> gone;
  bool is_last_name = true;
  for (auto& entry : parts.images.catalog(complaint(parts))) {
    if (entry.config_digest != image.config_digest) continue;
    const bool is_meant = entry.layout.folder() == image.layout.folder() &&
                          entry.manifest.digest == image.manifest.digest &&
                          (image.reference.digest() || entry.tag == image.tag);
    if (is_meant) {
      gone.push_back(std::move(entry));
    } else {
      is_last_name = false;
    }
  }
  const auto folders = unpacked_folders(parts.images.vmdir());
  if (is_last_name) {
    auto& hypervisor = parts.hypervisor();
    const auto users = ImageUsers(parts, folders).but_base_vm(digest);
    if (!users.empty())
      throw Error(Blame::job, doing + ": it is used by " + join(users, ", ") + "; remove these VMs first");
    if (hypervisor.state(digest) == DomainState::running)
      throw Error(Blame::job, doing + ": its VM " + digest + " is running; shut it down first");
    for (const auto& folder : folders) {
      if (folder.config_digest == digest && folder.disks_changed)
        throw Error(Blame::job,
                    doing + ": the disks in " + folder.path.string() +
                        " have been changed since they were unpacked, and would be lost; remove that "
                        "folder, and its VM (virsh undefine), yourself if they are of no use");
    }
    if (hypervisor.state(digest) == DomainState::stopped) {
      if (outcome.removal() == Removal::real) hypervisor.undefine(digest);
      parts.reporter.say((parts.settings.call.dry_run ? "Would undefine VM " : "Undefined VM ") + digest);
    }
    for (const auto& folder : folders) {
      if (folder.config_digest == digest) outcome.count(remove_unpacked(folder, outcome.removal()));
    }
  } else {
    parts.reporter.say("The image has other names: only this one is removed");
  }
  outcome.count(remove_entries(gone, parts.images, waiting(parts), outcome.removal()));
  for (const auto& entry : gone) outcome.name(entry.name());
  return outcome.finish();
}

}  // namespace sarde
