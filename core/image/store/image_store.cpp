#include "core/image/store/image_store.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/unpacked_marker.hpp"

namespace sarde {

namespace fs = std::filesystem;

std::string shared_note(const UnpackedImage& image) {
  return image.shared == 0 ? ""
                           : ", " + size_text(image.shared) + " of it shared with images that were there";
}

fs::path blobs_lock(const OciLayout& layout) {
  return layout.folder() / ".sarde.fetch.lock";
}

fs::path unpacked_lock(const fs::path& vmdir, const std::string& name) {
  return vmdir / ("." + name + ".lock");
}

fs::path private_mark(const OciLayout& layout, const Digest& manifest) {
  return layout.folder() / ".sarde.private" / manifest.hex();
}

std::uint64_t StoredImage::compressed_size() const {
  std::uint64_t size = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) size += chunk.size;
  }
  return size;
}

OciLayout ImageStore::layout_of(const ImageReference& reference) const {
  return OciLayout(settings_.ocidir / reference.folder());
}

FileLock::Waiting ImageStore::waiting(const std::string& what) const {
  return {.clock = clock_,
          .cancellation = cancellation_,
          .deadline = clock_.now() + settings_.lock_timeout,
          .announce = [this, what] {
            if (settings_.announce)
              settings_.announce("waiting for another process that is at work on " + what);
          }};
}

std::optional<std::pair<OciLayout, IndexEntry>> ImageStore::find(const ImageReference& reference) const {
  const auto layout = layout_of(reference);
  if (auto entry = layout.find(reference.local_name())) return std::pair{layout, *entry};
  const auto entries = layout.index();
  const bool bare = !reference.tag() && !reference.digest();
  if (bare && !entries.empty()) return std::pair{layout, entries.back()};
  // sardinecake splits host:port/name:tag at the first colon: there the rest is the tag.
  const auto registry = reference.registry();
  const auto colon = registry.find(':');
  if (colon == std::string::npos) return std::nullopt;
  const OciLayout misplaced(settings_.ocidir / registry.substr(0, colon));
  const auto name = reference.repository().substr(colon + 1) + ":" + reference.local_name();
  if (auto entry = misplaced.find(name)) return std::pair{misplaced, *entry};
  return std::nullopt;
}

bool ImageStore::has(const ImageReference& reference) const {
  return find(reference).has_value();
}

StoredImage ImageStore::load(const ImageReference& reference) const {
  const auto name = quote(reference.text());
  const auto found = find(reference);
  if (!found) {
    throw Error(Blame::job, "image " + name + " is not in " + settings_.ocidir.string() +
                                ": fetch it with 'sarde fetch', or export it");
  }
  return within("image " + name, [&] { return read(reference, found->first, found->second); });
}

StoredImage ImageStore::load_folder(const fs::path& folder) const {
  const OciLayout layout(folder);
  const auto entries = layout.index();
  if (entries.empty())
    throw Error(Blame::job, "there is no image in " + folder.string() + ": it is no OCI image layout");
  return within("image in " + folder.string(),
                [&] { return read(ImageReference::parse("image"), layout, entries.back()); });
}

StoredImage ImageStore::read(const ImageReference& reference, const OciLayout& layout,
                             const IndexEntry& entry) {
  const auto manifest = parse_manifest(layout.read_blob(entry.manifest), "the manifest");
  const auto layers = vm_layers(manifest, "the manifest");
  const auto config = parse_image_config(layout.read_blob(manifest.config), "the image config");
  const auto before_disks = 1 + layers.vm_config.size();
  if (config.diff_ids.size() != before_disks + layers.disks.size()) {
    throw Error(Blame::job, "the image config lists " + std::to_string(config.diff_ids.size()) +
                                " diff_ids for " + std::to_string(before_disks + layers.disks.size()) +
                                " files");
  }
  StoredImage image{.reference = reference,
                    .layout = layout,
                    .manifest = entry.manifest,
                    .tag = entry.tag,
                    .config_digest = manifest.config.digest,
                    .created = config.created,
                    .domain_xml = layout.read_blob(layers.domain),
                    .vm_config = {},
                    .vm_config_text = {},
                    .disks = layers.disks,
                    .disk_diff_ids = {}};
  for (const auto& blob : layers.vm_config) {
    image.vm_config_text = layout.read_blob(blob);
    image.vm_config = parse_vm_config(image.vm_config_text, "the vm config");
  }
  image.disk_diff_ids.assign(config.diff_ids.begin() + static_cast<std::ptrdiff_t>(before_disks),
                             config.diff_ids.end());
  return image;
}

bool ImageStore::is_private(const StoredImage& image) const {
  std::error_code error;
  return fs::exists(private_mark(image.layout, image.manifest.digest), error);
}

FileLock ImageStore::lock_blobs(const OciLayout& layout) const {
  make_folders(settings_.ocidir, 0700);
  layout.create();
  return FileLock::wait_for(blobs_lock(layout), waiting("blobs of " + layout.folder().string()));
}

FileLock ImageStore::lock_unpacked(const std::string& name) const {
  return FileLock::wait_for(unpacked_lock(settings_.vmdir, name), waiting("unpacked image " + name));
}

void ImageStore::mark_used(const StoredImage& image) const {
  set_modified_now(image.layout.blob(image.manifest.digest));
  for (const auto& name : usual_folders(image.config_digest, image.manifest.digest))
    set_modified_now(settings_.vmdir / name);
}

std::string CatalogEntry::name() const {
  return tag.empty() || Digest::parse(tag) ? repository + "@" + manifest.digest.text()
                                           : repository + ":" + tag;
}

namespace {

using Layouts = std::vector<std::pair<std::string, OciLayout>>;

/// The layout that this folder is, if it is one, and those below it. A repository's path has a bounded
/// length, so this goes only so deep.
void find_layouts(const fs::path& folder, const fs::path& relative, Layouts& found) {
  constexpr std::ptrdiff_t deepest = 130;
  if (std::distance(relative.begin(), relative.end()) > deepest) return;
  std::error_code ignored;
  for (const auto& entry : folder_entries(folder)) {
    const auto name = entry.filename().string();
    if (name == "index.json" && !relative.empty() && !fs::is_directory(entry, ignored))
      found.emplace_back(ImageReference::repository_in(relative), OciLayout(folder));
    const bool is_part_of_layout = name == "blobs" || name.starts_with('.');
    if (!is_part_of_layout && fs::is_directory(entry, ignored) && !fs::is_symlink(entry, ignored))
      find_layouts(entry, relative / name, found);
  }
}

}  // namespace

std::vector<std::pair<std::string, OciLayout>> ImageStore::layouts() const {
  Layouts found;
  find_layouts(settings_.ocidir, {}, found);
  std::ranges::sort(found, {}, &std::pair<std::string, OciLayout>::first);
  return found;
}

std::vector<CatalogEntry> ImageStore::catalog(const std::function<void(const std::string&)>& complain) const {
  std::vector<CatalogEntry> all;
  for (const auto& [repository, layout] : layouts()) {
    const auto complain_of = [&, &repository = repository](const Error& error) {
      complain("image " + quote(repository) + ": " + error.what());
    };
    std::vector<IndexEntry> entries;
    try {
      entries = layout.index();
    } catch (const Error& error) {
      complain_of(error);
    }
    for (const auto& entry : entries) {
      cancellation_.check();
      try {
        const auto manifest = parse_manifest(layout.read_blob(entry.manifest), "the manifest");
        all.push_back({.layout = layout,
                       .repository = repository,
                       .tag = entry.tag,
                       .manifest = entry.manifest,
                       .config_digest = manifest.config.digest,
                       .blobs = manifest.layers});
        all.back().blobs.push_back(manifest.config);
        all.back().blobs.push_back(entry.manifest);
      } catch (const Error& error) {
        complain_of(error);
      }
    }
  }
  return all;
}

void ImageStore::tag(const OciLayout& layout, const Descriptor& manifest, const std::string& tag) const {
  layout.tag(manifest, tag, waiting("index of " + layout.folder().string()));
}

std::vector<std::string> usual_folders(const Digest& config, const Digest& manifest) {
  return {config.text(), config.text() + "-for-clones", manifest.text()};
}

}  // namespace sarde
