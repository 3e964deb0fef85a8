#include "core/image/store/image_catalogue.hpp"

#include <algorithm>
#include <map>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/unpacked_image.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;

fs::path private_mark(const OciLayout& layout, const Digest& manifest) {
  return layout.folder() / ".sarde.private" / manifest.hex();
}

OciLayout ImageCatalogue::layout_of(const ImageReference& reference) const {
  return OciLayout(settings_.ocidir / reference.folder());
}

std::optional<std::pair<OciLayout, IndexEntry>> ImageCatalogue::find(const ImageReference& reference) const {
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

bool ImageCatalogue::has(const ImageReference& reference) const {
  return find(reference).has_value();
}

StoredImage ImageCatalogue::load(const ImageReference& reference) const {
  const auto name = quote(reference.text());
  const auto found = find(reference);
  if (!found) {
    throw Error(Blame::job, "image " + name + " is not in " + settings_.ocidir.string() +
                                ": fetch it with 'sarde fetch', or export it");
  }
  return within("image " + name, [&] { return read_stored_image(reference, found->first, found->second); });
}

StoredImage ImageCatalogue::load_folder(const fs::path& folder) const {
  const OciLayout layout(folder);
  const auto entries = layout.index();
  if (entries.empty())
    throw Error(Blame::job, "there is no image in " + folder.string() + ": it is not an OCI image layout");
  return within("image in " + folder.string(),
                [&] { return read_stored_image(ImageReference::parse("image"), layout, entries.back()); });
}

bool ImageCatalogue::is_private(const StoredImage& image) const {
  std::error_code error;
  return fs::exists(private_mark(image.layout, image.manifest.digest), error);
}

void ImageCatalogue::mark_used(const StoredImage& image) const {
  set_modified_now(image.layout.blob(image.manifest.digest));
  for (const auto& name : usual_folders(image.config_digest, image.manifest.digest))
    set_modified_now(settings_.vmdir / name);
}

namespace {

/// Holds the digest of the manifest that the registry answered with; its modification time is when.
fs::path asked_mark(const OciLayout& layout, const ImageReference& reference) {
  return layout.folder() / ".sarde.asked" / reference.local_name();
}

}  // namespace

void ImageCatalogue::mark_asked(const StoredImage& image) const {
  const auto mark = asked_mark(image.layout, image.reference);
  make_folders(mark.parent_path(), 0700);
  write_file(mark, image.manifest.digest.text(), 0600);
}

std::optional<std::chrono::milliseconds> ImageCatalogue::time_since_asked(
    const ImageReference& reference) const {
  using std::chrono::milliseconds;
  const auto found = find(reference);
  if (!found) return std::nullopt;
  const auto mark = asked_mark(found->first, reference);
  if (read_file_if_there(mark) != found->second.manifest.digest.text()) return std::nullopt;
  std::error_code missing;
  const auto then = fs::last_write_time(mark, missing);
  const auto age = std::chrono::duration_cast<milliseconds>(fs::file_time_type::clock::now() - then);
  return missing || age < milliseconds(0) ? std::nullopt : std::optional(age);
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

std::vector<std::pair<std::string, OciLayout>> ImageCatalogue::layouts() const {
  Layouts found;
  find_layouts(settings_.ocidir, {}, found);
  std::ranges::sort(found, {}, &std::pair<std::string, OciLayout>::first);
  return found;
}

std::vector<CatalogEntry> ImageCatalogue::entries(
    const std::function<void(const std::string&)>& complain) const {
  std::vector<CatalogEntry> all;
  // One image often has several names, and reading a manifest is most of the work.
  std::map<std::string, Manifest> manifests;
  const auto manifest_of = [&](const OciLayout& layout, const Descriptor& blob) -> const Manifest& {
    const auto known = manifests.find(blob.digest.text());
    std::error_code missing;
    if (known != manifests.end() && fs::exists(layout.blob(blob.digest), missing)) return known->second;
    return manifests
        .insert_or_assign(blob.digest.text(), parse_manifest(layout.read_blob(blob), "the manifest"))
        .first->second;
  };
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
        const auto& manifest = manifest_of(layout, entry.manifest);
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

void ImageCatalogue::tag(const OciLayout& layout, const Descriptor& manifest, const std::string& tag) const {
  layout.tag(manifest, tag, locks_.for_index(layout));
}

}  // namespace sarde
