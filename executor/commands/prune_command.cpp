#include "executor/commands/prune_command.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "executor/commands/image_users.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

/// Other programs put blobs into a layout before they name them.
constexpr std::chrono::seconds grace(3600);

/// An image that was used or fetched so lately may be about to be used by somebody who has not said so yet.
constexpr std::chrono::seconds in_use_for(600);

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
    return json_text(ordered_json{{"images", names_}, {"files", removed_.files}, {"bytes", removed_.bytes}});
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
    if (call.older_than || call.budget) find_candidates();
    if (call.older_than) remove_older_than(*call.older_than);
    if (call.budget) fit_into(*call.budget);
    return outcome_.finish();
  }

 private:
  /// All names and unpacked folders of one image.
  struct Candidate {
    std::string config_digest;
    std::vector<CatalogEntry> entries;
    std::vector<UnpackedFolder> folders;
    std::chrono::seconds unused{};
  };

  void find_candidates() {
    std::map<std::string, Candidate> images;
    for (const auto& entry : entries_) images[entry.config_digest.text()].entries.push_back(entry);
    for (const auto& folder : folders_) images[folder.config_digest].folders.push_back(folder);
    const ImageUsers users(parts_, folders_);
    for (auto& [digest, image] : images) {
      image.config_digest = digest;
      if (const auto names = users.of(digest); !names.empty()) {
        parts_.reporter.detail("Image " + digest + " is used by " + join(names, ", "));
        continue;
      }
      // What somebody wrote into unpacked disks is nowhere else.
      std::erase_if(image.folders, [](const UnpackedFolder& folder) { return folder.disks_changed; });
      if (image.entries.empty() && image.folders.empty()) continue;
      image.unused = unused(image);
      if (image.unused >= in_use_for) candidates_.push_back(std::move(image));
    }
    std::ranges::sort(candidates_, std::ranges::greater(), &Candidate::unused);
  }

  static std::chrono::seconds unused(const Candidate& image) {
    auto shortest = std::chrono::seconds::max();
    for (const auto& entry : image.entries) shortest = std::min(shortest, unused_for(entry, image.folders));
    for (const auto& folder : image.folders) shortest = std::min(shortest, unused_for(folder));
    return shortest;
  }

  /// Under its locks all is looked at again: a job may have come in between.
  void remove(const Candidate& image) {
    try {
      const auto locks =
          ImageLocks::try_for(parts_.images, image.config_digest, image.entries, image.folders);
      if (!locks || unused(image) < in_use_for ||
          !ImageUsers(parts_, folders_).of(image.config_digest).empty()) {
        parts_.reporter.detail("Image " + image.config_digest + " has come into use: left as it is");
        return;
      }
      outcome_.count(remove_entries(image.entries, waiting(parts_), outcome_.removal()));
      for (const auto& folder : image.folders) outcome_.count(remove_unpacked(folder, outcome_.removal()));
    } catch (const Error& error) {
      parts_.reporter.warn("WARNING: image " + image.config_digest + " is left as it is: " + error.what());
      return;
    }
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
    // VMs' own disks (clones, changed ones) are no images: prune neither removes nor counts them.
    auto before = disk_space_of(parts_.images.ocidir());
    for (const auto& folder : folders_) before += folder.disks_changed ? 0 : disk_space_of(folder.path);
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
                           ": those that are left are used by VMs or jobs, or were just now (-v names them)");
  }

  const CommandParts& parts_;
  Outcome outcome_;
  std::vector<CatalogEntry> entries_;
  std::vector<UnpackedFolder> folders_;
  std::vector<Candidate> candidates_;
};

}  // namespace

std::string prune_images(const CommandParts& parts) {
  return Pruning(parts).run();
}

namespace {

/// The entries that `rm` is to remove, and those of the same image under other names.
struct NamedEntries {
  std::vector<CatalogEntry> meant;
  std::vector<CatalogEntry> others;
};

NamedEntries entries_of(const CommandParts& parts, const StoredImage& image) {
  NamedEntries entries;
  for (auto& entry : parts.images.catalog(complaint(parts))) {
    if (entry.config_digest != image.config_digest) continue;
    const bool is_meant = entry.layout.folder() == image.layout.folder() &&
                          entry.manifest.digest == image.manifest.digest && entry.tag == image.tag;
    (is_meant ? entries.meant : entries.others).push_back(std::move(entry));
  }
  return entries;
}

/// Throws Error where something would be lost with the image.
void check_unused(const CommandParts& parts, const std::string& doing, const std::string& digest,
                  const std::vector<UnpackedFolder>& folders) {
  const ImageUsers all_users(parts, folders);
  if (const auto file = all_users.file_of_base_vm_elsewhere(digest))
    throw Error(Blame::job, doing + ": its VM " + digest + " has a disk elsewhere, " + file->string() +
                                "; 'virsh undefine " + digest + "' first, if neither is of use");
  const auto users = all_users.but_base_vm(digest);
  if (!users.empty())
    throw Error(Blame::job, doing + ": it is used by " + join(users, ", ") + "; remove these VMs first");
  if (parts.hypervisor().state(digest) == DomainState::running)
    throw Error(Blame::job, doing + ": its VM " + digest + " is running; shut it down first");
  for (const auto& folder : folders) {
    if (folder.config_digest == digest && folder.disks_changed)
      throw Error(Blame::job,
                  doing + ": the disks in " + folder.path.string() +
                      " have been changed since they were unpacked, or have snapshots, and would be "
                      "lost; remove that folder, and its VM (virsh undefine), yourself if they are of "
                      "no use");
  }
}

}  // namespace

namespace {

/// What cannot be read has no blobs that are known to be its own: only its name goes.
std::string remove_broken(const CommandParts& parts, const std::string& doing,
                          const std::pair<OciLayout, IndexEntry>& found, const Error& error) {
  const auto& [layout, entry] = found;
  parts.reporter.warn("WARNING: " + doing +
                      ": only its name goes, 'prune' removes what it left: " + error.what());
  const auto lock = parts.images.lock_blobs(layout);
  Outcome outcome(parts);
  if (outcome.removal() == Removal::real) layout.untag(entry, waiting(parts));
  outcome.name(layout.folder().lexically_relative(parts.images.ocidir()).string() + ":" + entry.tag);
  return outcome.finish();
}

/// Nothing if it can be read.
std::optional<Error> why_broken(const CommandParts& parts, const ImageReference& reference) {
  try {
    static_cast<void>(parts.images.load(reference));
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace

std::string remove_image(const CommandParts& parts, const std::string& container) {
  const auto reference = ImageReference::parse(container);
  const auto doing = "remove image " + quote(reference.text());
  if (const auto found = parts.images.find(reference);
      found && !reference.digest() && found->second.tag == reference.local_name()) {
    if (const auto broken = why_broken(parts, reference)) return remove_broken(parts, doing, *found, *broken);
  }
  const auto image = parts.images.load(reference);
  // Elsewhere a name without a tag may stand for the image added last; what is removed is named exactly.
  const auto wanted = reference.local_name();
  const bool is_misplaced = image.tag.ends_with(":" + wanted);  // as sardinecake names images of host:port
  if (!reference.digest() && image.tag != wanted && !is_misplaced)
    throw Error(Blame::job, doing + ": there is no tag " + quote(wanted) + ", but " + quote(image.tag));
  const auto digest = image.config_digest.text();
  auto folders = unpacked_folders(parts.images.vmdir());
  std::erase_if(folders, [&](const UnpackedFolder& folder) { return folder.config_digest != digest; });
  const auto [meant, others] = entries_of(parts, image);
  auto all = meant;
  all.insert(all.end(), others.begin(), others.end());
  const auto locks = ImageLocks::try_for(parts.images, digest, all, folders);
  if (!locks) throw Error(doing + ": another process is at work on it; try again when that has ended");
  Outcome outcome(parts);
  // What will be kept must be readable, before anything goes.
  static_cast<void>(remove_entries(meant, waiting(parts), Removal::pretended));
  if (others.empty()) {
    check_unused(parts, doing, digest, folders);
    if (parts.hypervisor().state(digest) == DomainState::stopped) {
      if (outcome.removal() == Removal::real) parts.hypervisor().undefine(digest);
      parts.reporter.say((parts.settings.call.dry_run ? "Would undefine VM " : "Undefined VM ") + digest);
    }
    for (const auto& folder : folders) outcome.count(remove_unpacked(folder, outcome.removal()));
  } else {
    parts.reporter.say("The image has other names: only this one is removed");
  }
  outcome.count(remove_entries(meant, waiting(parts), outcome.removal()));
  for (const auto& entry : meant) outcome.name(entry.name());
  return outcome.finish();
}

}  // namespace sarde
