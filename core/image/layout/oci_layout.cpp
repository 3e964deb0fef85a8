#include "core/image/layout/oci_layout.hpp"

#include <algorithm>
#include <dirent.h>
#include <unordered_set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::string_view layout_text = R"({"imageLayoutVersion": "1.0.0"})";
constexpr std::uint64_t largest_small_blob = 8U << 20U;

}  // namespace

void check_small_blob(const Descriptor& descriptor) {
  if (descriptor.size <= largest_small_blob) return;
  throw Error(Blame::job, "read blob " + descriptor.digest.text() + ": " + size_text(descriptor.size) +
                              " is too much for " + quote(descriptor.media_type));
}

IncomingBlob::IncomingBlob(const std::filesystem::path& blobs)
    : blobs_(blobs), file_(TempFile::beside(blobs / "incoming")) {}

void IncomingBlob::write(const void* data, std::size_t size) {
  write_full(file_.fd(), data, size, file_.path().string());
  hash_.update(data, size);
  size_ += size;
}

Descriptor IncomingBlob::keep(const std::string& media_type) {
  SettlingBlobs alone(blobs_);
  auto descriptor = keep_with(alone, media_type);
  alone.settle();
  return descriptor;
}

Descriptor IncomingBlob::keep_with(SettlingBlobs& others, const std::string& media_type) {
  Descriptor descriptor{.media_type = media_type, .digest = hash_.finish(), .size = size_};
  const auto target = blobs_ / descriptor.digest.hex();
  std::error_code ignored;
  if (std::filesystem::exists(target, ignored)) {
    set_modified_now(target);  // it is wanted again: not to be taken for an old stray
  } else if (!others.has(target)) {
    others.add(std::move(file_), target);
  }
  return descriptor;
}

void OciLayout::create() const {
  make_folders(blobs(), 0700, 0700);
  std::error_code ignored;
  if (!std::filesystem::exists(folder_ / "oci-layout", ignored))
    write_file(folder_ / "oci-layout", layout_text, 0600);
}

std::vector<IndexEntry> OciLayout::index() const {
  const auto path = folder_ / "index.json";
  const auto text = read_file_if_there(path);
  if (!text) return {};
  try {
    return parse_index(*text, path.string());
  } catch (const Error& error) {
    throw Error(std::string(error.what()) + "; remove the file and fetch again");
  }
}

std::optional<IndexEntry> OciLayout::find(const std::string& name) const {
  const auto entries = index();
  const auto digest = Digest::parse(name);
  // The entry added last counts, as it does for sardinecake.
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    // (an image that was asked for by an index's digest is named by that)
    if (entry->tag == name || (digest && entry->manifest.digest == *digest)) return *entry;
  }
  return std::nullopt;
}

bool OciLayout::names_all(const std::vector<Descriptor>& blobs) const {
  // One look at the folder takes much less time than one for each blob.
  std::unordered_set<std::string> names;
  if (DIR* folder = ::opendir(this->blobs().c_str()); folder != nullptr) {
    while (const auto* entry = ::readdir(folder)) names.emplace(entry->d_name);
    ::closedir(folder);
  }
  return std::ranges::all_of(blobs,
                             [&](const Descriptor& blob) { return names.contains(blob.digest.hex()); });
}

bool OciLayout::holds(const Manifest& manifest) const {
  const auto is_there = [&](const Descriptor& wanted) {
    std::error_code error;
    return std::filesystem::file_size(blob(wanted.digest), error) == wanted.size && !error;
  };
  return is_there(manifest.config) && std::ranges::all_of(manifest.layers, is_there);
}

UniqueFd OciLayout::open_blob(const Digest& digest) const {
  std::error_code ignored;
  if (!std::filesystem::exists(blob(digest), ignored))
    throw Error("read " + blob(digest).string() + ": the image is not whole; fetch it, or export it, again");
  return open_to_read(blob(digest));
}

std::string OciLayout::read_blob(const Descriptor& descriptor) const {
  const auto path = blob(descriptor.digest);
  check_small_blob(descriptor);
  static_cast<void>(open_blob(descriptor.digest));
  auto content = read_file(path, largest_small_blob);
  if (content.size() != descriptor.size || Digest::of(content) != descriptor.digest) {
    throw Error("read " + path.string() +
                ": its content does not match its digest; remove the file and fetch the image again");
  }
  return content;
}

Descriptor OciLayout::add_blob(const std::string& content, std::string_view media_type) const {
  auto incoming = incoming_blob();
  incoming.write(content.data(), content.size());
  return incoming.keep(std::string(media_type));
}

void OciLayout::tag(const Descriptor& manifest, const std::string& tag,
                    const FileLock::Waiting& waiting) const {
  create();
  const auto lock = FileLock::wait_for(folder_ / ".sarde.lock", waiting);
  auto entries = index();
  const auto same_tag = std::ranges::count(entries, tag, &IndexEntry::tag);
  const auto first = std::ranges::find(entries, tag, &IndexEntry::tag);
  if (same_tag == 1 && first->manifest.digest == manifest.digest) return;
  std::erase_if(entries, [&](const IndexEntry& entry) {
    return entry.tag == tag || (entry.tag.empty() && entry.manifest.digest == manifest.digest);
  });
  entries.push_back({.manifest = manifest, .tag = tag});
  write_file(folder_ / "index.json", to_text(entries), 0600);
}

void OciLayout::untag(const IndexEntry& gone, const FileLock::Waiting& waiting) const {
  const auto lock = FileLock::wait_for(folder_ / ".sarde.lock", waiting);
  auto entries = index();
  std::erase_if(entries, [&](const IndexEntry& entry) {
    return entry.tag == gone.tag && entry.manifest.digest == gone.manifest.digest;
  });
  write_file(folder_ / "index.json", to_text(entries), 0600);
}

void write_single_index(const std::filesystem::path& folder, const IndexEntry& entry) {
  write_file(folder / "oci-layout", layout_text, 0600);
  write_file(folder / "index.json", to_text(std::vector{entry}), 0600);
}

}  // namespace sarde
