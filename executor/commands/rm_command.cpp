#include "executor/commands/rm_command.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "executor/commands/image_users.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// The entries that `rm` will remove, and entries of the same image under other names.
struct NamedEntries {
  std::vector<CatalogEntry> meant;
  std::vector<CatalogEntry> others;
};

NamedEntries entries_of(const CommandTools& tools, const StoredImage& image) {
  NamedEntries entries;
  for (auto& entry : tools.images.catalogue.entries(complaint(tools))) {
    if (entry.config_digest != image.config_digest) continue;
    const bool is_meant = entry.layout.folder() == image.layout.folder() &&
                          entry.manifest.digest == image.manifest.digest && entry.tag == image.tag;
    (is_meant ? entries.meant : entries.others).push_back(std::move(entry));
  }
  return entries;
}

/// Throws Error if something is still in use, or would be lost with the image.
void check_unused(const CommandTools& tools, const std::string& doing, const std::string& digest,
                  const std::vector<UnpackedFolder>& folders, const std::vector<fs::path>& jobsdirs) {
  const ImageUsers all_users(tools.hypervisor(), folders, jobsdirs);
  if (const auto file = all_users.file_of_base_vm_elsewhere(digest))
    throw Error(Blame::job, doing + ": its VM " + digest + " has a disk in another place, " + file->string() +
                                "; if you need neither, run 'virsh undefine " + digest + "' first");
  const auto users = all_users.but_base_vm(digest);
  if (!users.empty())
    throw Error(Blame::job, doing + ": it is used by " + join(users, ", ") + "; remove these VMs first");
  if (tools.hypervisor().state(digest) == DomainState::running)
    throw Error(Blame::job, doing + ": its VM " + digest + " is running; shut it down first");
  for (const auto& folder : folders) {
    if (folder.config_digest == digest && folder.disks_changed)
      throw Error(Blame::job,
                  doing + ": the disks in " + folder.path.string() +
                      " have been changed since they were unpacked, or have snapshots, which would be "
                      "lost; if you do not need them, remove that folder and its VM (virsh undefine) "
                      "yourself");
  }
}

/// If an image cannot be read, it is not known which blobs are its own, so only its name is removed.
void remove_broken(const CommandTools& tools, const RemovalRequest& request, RemovalOutcome& outcome,
                   const std::pair<OciLayout, IndexEntry>& found) {
  const auto& [layout, entry] = found;
  const auto lock = tools.images.locks.of_blobs(layout);
  if (outcome.removal() == Removal::real) layout.untag(entry, waiting(tools, request));
  outcome.name(layout.folder().lexically_relative(tools.images.catalogue.folder()).string() + ":" +
               entry.tag);
}

/// Why the image cannot be read; nothing if it can.
std::optional<Error> why_broken(const CommandTools& tools, const ImageReference& reference) {
  try {
    static_cast<void>(tools.images.catalogue.load(reference));
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

/// Other commands take a name without a tag for the image added last. An image to be removed must be named
/// exactly.
void check_exact(const std::string& doing, const ImageReference& reference, const StoredImage& image) {
  const auto wanted = reference.local_name();
  const bool is_misplaced = image.tag.ends_with(":" + wanted);  // as sardinecake names images of host:port
  if (!reference.digest() && image.tag != wanted && !is_misplaced)
    throw Error(Blame::job, doing + ": the cache has no tag " + quote(wanted) + ", but it has " +
                                quote(image.tag) + "; name the tag");
}

void remove(const CommandTools& tools, const RemovalRequest& request, RemovalOutcome& outcome,
            const std::string& container) {
  const auto reference = ImageReference::parse(container);
  const auto doing = "remove image " + quote(reference.text());
  if (const auto found = tools.images.catalogue.find(reference);
      found && !reference.digest() && found->second.tag == reference.local_name()) {
    if (const auto broken = why_broken(tools, reference)) {
      tools.reporter.warn("WARNING: " + doing +
                          ": removing only the tag; 'prune' removes the rest: " + broken->what());
      remove_broken(tools, request, outcome, *found);
      return;
    }
  }
  const auto image = tools.images.catalogue.load(reference);
  check_exact(doing, reference, image);
  const auto digest = image.config_digest.text();
  auto folders = unpacked_folders(tools.images.unpacked.folder());
  std::erase_if(folders, [&](const UnpackedFolder& folder) { return folder.config_digest != digest; });
  const auto [meant, others] = entries_of(tools, image);
  auto all = meant;
  all.insert(all.end(), others.begin(), others.end());
  const auto locks = ImageLocks::try_for(tools.images, digest, all, folders);
  if (!locks) throw Error(doing + ": another process is using it; try again later");
  // Checks that the images to be kept can be read, before anything is removed.
  static_cast<void>(remove_entries(meant, waiting(tools, request), Removal::pretended));
  if (others.empty()) {
    check_unused(tools, doing, digest, folders, request.jobsdirs);
    if (tools.hypervisor().state(digest) == DomainState::stopped) {
      if (outcome.removal() == Removal::real) tools.hypervisor().undefine(digest);
      tools.reporter.say((request.removal == Removal::pretended ? "Would undefine VM " : "Undefined VM ") +
                         digest);
    }
    for (const auto& folder : folders) outcome.count(remove_unpacked(folder, outcome.removal()));
  } else {
    tools.reporter.say("The image has other names; only this one is removed");
  }
  outcome.count(remove_entries(meant, waiting(tools, request), outcome.removal()));
  for (const auto& entry : meant) outcome.name(entry.name());
}

}  // namespace

std::string remove_images(const CommandTools& tools, const RemovalRequest& request,
                          const std::vector<std::string>& containers) {
  RemovalOutcome outcome(tools.reporter, request);
  std::optional<Error> failure;
  for (const auto& container : containers) {
    try {
      remove(tools, request, outcome, container);
    } catch (const Error& error) {
      if (containers.size() == 1) throw;
      tools.reporter.warn(std::string("WARNING: ") + error.what());
      failure = error;
    }
  }
  auto answer = outcome.finish();
  if (failure)
    throw Error(failure->blame(), "not all of the " + std::to_string(containers.size()) +
                                      " images could be removed (removed: " +
                                      (outcome.names().empty() ? "none" : join(outcome.names(), ", ")) + ")");
  return answer;
}

}  // namespace sarde
