#include "core/image/image_store.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <fcntl.h>
#include <thread>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/qcow2_header.hpp"
#include "core/image/reflink.hpp"
#include "core/image/unpacked_marker.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// Follows the backing files of one disk through the image's own files. Throws Error (the job's fault) at the
/// first that leads elsewhere.
void check_chain(const fs::path& folder, const std::string& disk, const std::vector<std::string>& disks,
                 std::uint64_t max_disk) {
  std::string name = disk;
  for (std::size_t depth = 0;; ++depth) {
    if (depth > disks.size()) throw Error(Blame::job, "the backing chain of disk " + quote(disk) + " loops");
    const auto header = read_qcow2_header(folder / name);
    const auto size = header ? header->virtual_size : fs::file_size(folder / name);
    if (size > max_disk)
      throw Error(Blame::job, "disk " + quote(name) + " has " + size_text(size) +
                                  " for the guest, more than max-disk, " + size_text(max_disk));
    if (header && header->external_data) {
      throw Error(Blame::job,
                  "disk " + quote(name) + " keeps its data in an external file, which no image may");
    }
    if (!header || !header->backing_file) return;
    const auto& backing = *header->backing_file;
    if (!header->backing_format) {
      throw Error(Blame::job, "disk " + quote(name) + " does not say the format of its backing file " +
                                  quote(backing) + " (qemu-img rebase -u -F sets it)");
    }
    if (*header->backing_format != "qcow2" && *header->backing_format != "raw") {
      throw Error(Blame::job, "disk " + quote(name) + " says that its backing file has the format " +
                                  quote(*header->backing_format) + "; qcow2 and raw are supported");
    }
    if (std::ranges::find(disks, backing) == disks.end()) {
      throw Error(Blame::job, "disk " + quote(name) + " has the backing file " + quote(backing) +
                                  ", which is not one of the image's own files");
    }
    name = backing;
  }
}

Digest digest_of_file(const fs::path& path, Cancellation& cancellation) {
  const auto fd = open_to_read(path);
  Sha256 hash;
  Bytes buffer(member_size);
  for (;;) {
    cancellation.check();
    const auto got = read_full(fd.get(), buffer.data(), buffer.size(), path.string());
    hash.update(buffer.data(), got);
    if (got < buffer.size()) return hash.finish();
  }
}

}  // namespace

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

namespace {

/// There is a file here for each manifest that came with one job's credentials.
fs::path private_mark(const OciLayout& layout, const Digest& manifest) {
  return layout.folder() / ".sarde.private" / manifest.hex();
}

}  // namespace

/// Before the first blob comes: whoever dies then leaves nothing that anybody may have.
void ImageStore::note_access(const OciLayout& layout, const Digest& manifest, const RegistryAccess& access) {
  std::error_code error;
  if (!access.authfile || fs::exists(layout.blob(manifest), error)) return;
  const auto mark = private_mark(layout, manifest);
  make_folders(mark.parent_path(), 0755);
  write_file(mark, "", 0644);
}

/// With this machine's own credentials every job could have it.
void ImageStore::note_success(const OciLayout& layout, const Digest& manifest, const RegistryAccess& access) {
  if (!access.authfile) remove_if_there(private_mark(layout, manifest));
}

bool ImageStore::is_private(const StoredImage& image) const {
  std::error_code error;
  return fs::exists(private_mark(image.layout, image.manifest.digest), error);
}

StoredImage ImageStore::fetch_as(const ImageReference& reference, const ImageReference& source,
                                 Registry& registry, const RegistryAccess& access) const {
  const auto layout = layout_of(reference);
  const auto announced = registry.announce(source, access);  // what the registry has not leaves no folder
  // One at a time: a second process would load the same blobs again. And nobody removes the image meanwhile.
  const auto lock = lock_blobs(layout);
  const auto known = layout.find(reference.local_name());
  note_access(layout, announced.digest, access);
  const auto manifest = registry.fetch(source, announced, layout,
                                       known ? std::optional(known->manifest) : std::nullopt, access);
  note_success(layout, manifest.digest, access);
  tag(layout, manifest, reference.local_name());
  set_modified_now(layout.blob(manifest.digest));
  return load(reference);
}

StoredImage ImageStore::fetch_description(const ImageReference& reference, const OciLayout& layout,
                                          Registry& registry, const RegistryAccess& access) const {
  const auto manifest = registry.fetch_description(reference, layout, access);
  return within("image " + quote(reference.text()),
                [&] { return read(reference, layout, {.manifest = manifest, .tag = {}}); });
}

FileLock ImageStore::lock_blobs(const OciLayout& layout) const {
  layout.create();
  return FileLock::wait_for(blobs_lock(layout), waiting("blobs of " + layout.folder().string()));
}

FileLock ImageStore::lock_unpacked(const std::string& name) const {
  return FileLock::wait_for(unpacked_lock(settings_.vmdir, name), waiting("unpacked image " + name));
}

void ImageStore::mark_used(const StoredImage& image) const {
  set_modified_now(image.layout.blob(image.manifest.digest));
  for (const auto& name : usual_folders(image.base_name())) set_modified_now(settings_.vmdir / name);
}

std::string CatalogEntry::name() const {
  return tag.empty() || Digest::parse(tag) ? repository + "@" + manifest.digest.text()
                                           : repository + ":" + tag;
}

std::vector<std::pair<std::string, OciLayout>> ImageStore::layouts() const {
  std::vector<std::pair<std::string, OciLayout>> found;
  std::error_code error;
  auto at = fs::recursive_directory_iterator(settings_.ocidir, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const auto name = at->path().filename().string();
    if (name == "blobs" || name.starts_with('.')) at.disable_recursion_pending();
    if (name != "index.json" || at.depth() == 0) continue;
    const auto folder = at->path().parent_path();
    found.emplace_back(folder.lexically_relative(settings_.ocidir).string(), OciLayout(folder));
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("list the images in " + settings_.ocidir.string() + ": " + error.message());
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

namespace {

/// What an image of ours says of the size of a disk's file; others say nothing.
std::uint64_t declared_size(const DiskLayers& disk) {
  const auto& annotations = disk.chunks.front().annotations;
  const auto found = annotations.find(annotation::disk_size);
  return found == annotations.end() ? UINT64_MAX : parse_number(found->second).value_or(UINT64_MAX);
}

/// `options.limit` is for all of them.
std::vector<UnpackedDisk> unpack_disks(const OciLayout& layout, const std::vector<DiskLayers>& disks,
                                       const fs::path& folder, UnpackOptions options,
                                       Cancellation& cancellation) {
  std::vector<UnpackedDisk> unpacked;
  std::uint64_t total = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) total += chunk.size;
  }
  std::uint64_t before = 0;
  const auto progress = std::move(options.progress);
  auto left = options.limit;
  for (const auto& disk : disks) {
    std::uint64_t done_of_disk = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t) {
      done_of_disk = done;
      if (progress) progress(before + done, total);
    };
    options.limit = std::min(left, declared_size(disk));
    unpacked.push_back(unpack_disk(layout, disk, folder, options, cancellation));
    left -= unpacked.back().size;
    before += done_of_disk;
  }
  return unpacked;
}

bool has_digests(const StoredImage& image, const std::vector<UnpackedDisk>& disks) {
  return std::ranges::equal(disks, image.disk_diff_ids, {}, &UnpackedDisk::diff_id);
}

/// Compares the disks with what the image says of them, and gives the folder its marker and its name.
UnpackedImage finish_unpacking(const StoredImage& image, const std::vector<UnpackedDisk>& disks,
                               TempFolder incoming, const fs::path& folder, std::uint64_t max_disk) {
  UnpackedImage unpacked{.folder = folder, .disks = {}, .was_there = false};
  UnpackedMarker marker{.config_digest = image.config_digest.text(), .disks = {}};
  for (std::size_t i = 0; i < disks.size(); ++i) {
    if (disks[i].diff_id != image.disk_diff_ids.at(i))
      throw Error(Blame::job,
                  "disk " + quote(disks[i].name) + " does not match its digest in the image config");
    unpacked.disks.push_back(disks[i].name);
    unpacked.shared += disks[i].shared;
    marker.disks.push_back({.name = disks[i].name, .spans = disks[i].spans});
  }
  for (const auto& name : unpacked.disks) check_chain(incoming.path(), name, unpacked.disks, max_disk);
  write_unpacked_marker(incoming.path(), marker);
  incoming.rename_to(folder);
  return unpacked;
}

/// Fetching in a thread of its own, while the owner unpacks what has arrived.
class FetchInBackground {
 public:
  FetchInBackground(const ObtainRequest& request, Registry& registry, const AnnouncedImage& announced,
                    const OciLayout& layout, RegistryAccess access)
      : layout_(layout) {
    access.progress = [this](std::uint64_t done, std::uint64_t total) {
      done_ = done;
      total_ = total;
      if (given_up_) throw Error("the rest is not wanted any more");
    };
    const auto known = layout.find(request.reference.local_name());
    thread_ = std::thread([this, &request, &registry, &announced, access,
                           known = known ? std::optional(known->manifest) : std::nullopt] {
      try {
        manifest_ = registry.fetch(request.source, announced, layout_, known, access);
      } catch (...) {
        failure_ = std::current_exception();
      }
      ended_ = true;
    });
  }

  FetchInBackground(const FetchInBackground&) = delete;
  FetchInBackground& operator=(const FetchInBackground&) = delete;

  ~FetchInBackground() {
    given_up_ = true;
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] bool ended() const { return ended_; }

  [[nodiscard]] std::uint64_t done() const { return done_; }

  [[nodiscard]] std::uint64_t total() const { return total_; }

  /// Has the blob arrived? Throws what ended the fetching if it never will.
  bool has(const Descriptor& blob) {
    const bool was_ended = ended_;
    std::error_code ignored;
    if (fs::exists(layout_.blob(blob.digest), ignored)) return true;
    if (was_ended) static_cast<void>(finish());
    return was_ended;
  }

  /// Waits for the end. Throws what ended it.
  Descriptor finish() {
    if (thread_.joinable()) thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return *manifest_;
  }

 private:
  const OciLayout& layout_;
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<std::uint64_t> total_ = 0;
  std::atomic<bool> given_up_ = false;
  std::atomic<bool> ended_ = false;
  std::optional<Descriptor> manifest_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace

std::string ImageStore::folder_for(const ObtainRequest& request, const std::string& base_name) const {
  if (!request.folder.empty()) {
    if (!is_bare_file_name(request.folder))
      throw Error(Blame::job, "unpack to " + quote(request.folder) + ": that cannot be a folder's name");
    return request.folder;
  }
  switch (request.use) {
    case ObtainRequest::Use::job:
      return folder_for_jobs(base_name);
    case ObtainRequest::Use::clone:
      return folder_for_clones(base_name);
    default:
      return base_name;
  }
}

ObtainedImage ImageStore::obtain(const ObtainRequest& request, Registry& registry,
                                 const RegistryAccess& access) const {
  const auto announced = request.announced ? *request.announced : registry.announce(request.source, access);
  if (auto both = fetch_and_unpack(request, registry, announced, access)) return std::move(*both);
  auto shown = access;
  shown.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("fetching", done, total);
  };
  for (int tries = 0;; ++tries) {
    auto image = fetch_as(request.reference, request.source, registry, shown);
    if (request.announce_use) request.announce_use(image.config_digest.text());
    try {
      auto unpacked =
          unpack(image, folder_for(request, image.base_name()), [&](std::uint64_t done, std::uint64_t total) {
            if (request.progress) request.progress("unpacking", done, total);
          });
      return {.image = std::move(image), .unpacked = std::move(unpacked)};
    } catch (const Cancelled&) {
      throw;
    } catch (const Error&) {
      // Before its use was announced, somebody may have removed it.
      constexpr int enough = 3;
      if (tries == enough || has(request.reference)) throw;
    }
  }
}

/// Nothing where there is nothing to gain (all of it is in the cache, or unpacked already), where the tag has
/// moved in between, or where something is wrong with what was in the cache before.
std::optional<ObtainedImage> ImageStore::fetch_and_unpack(const ObtainRequest& request, Registry& registry,
                                                          const AnnouncedImage& announced,
                                                          const RegistryAccess& access) const {
  const auto layout = layout_of(request.reference);
  if (!announced.manifest || layout.holds(*announced.manifest)) return std::nullopt;
  const auto base_name = announced.manifest->config.digest.text();
  const auto name = folder_for(request, base_name);
  make_folders(settings_.vmdir, 0755);
  const auto folder = settings_.vmdir / name;
  const auto fetch_lock = lock_blobs(layout);
  const auto lock = lock_unpacked(name);
  if (fs::exists(folder) || layout.holds(*announced.manifest)) return std::nullopt;
  if (request.announce_use) request.announce_use(base_name);
  return within("image " + quote(request.reference.text()), [&]() -> std::optional<ObtainedImage> {
    note_access(layout, announced.digest, access);
    auto incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0755);
    const auto known = can_share_extents(incoming.path()) ? known_spans() : KnownSpans();
    FetchInBackground fetching(request, registry, announced, layout, access);
    const auto show = [&](std::uint64_t done, std::uint64_t total) {
      if (!request.progress) return;
      if (fetching.ended()) {
        request.progress("unpacking", done, total);
      } else {
        request.progress("fetching and unpacking", fetching.done(), fetching.total());
      }
    };
    constexpr std::chrono::milliseconds pause(5);
    const UnpackOptions options{.threads = settings_.threads,
                                .progress = show,
                                .known = known.empty() ? nullptr : &known,
                                .limit = settings_.max_image,
                                .check = BlobCheck::just_arrived,
                                .await = [&](const Descriptor& blob) {
                                  while (!fetching.has(blob)) {
                                    show(0, 0);
                                    clock_.sleep(pause, cancellation_);
                                  }
                                }};
    const auto layers = vm_layers(*announced.manifest, "the manifest");
    std::optional<std::vector<UnpackedDisk>> disks;
    try {
      disks = unpack_disks(layout, layers.disks, incoming.path(), options, cancellation_);
    } catch (const Cancelled&) {
      throw;
    } catch (const Error&) {
      // Why the fetching failed, if it did; else the caller unpacks again, checking all, and says what is
      // wrong.
      static_cast<void>(fetching.finish());
    }
    const auto manifest = fetching.finish();
    note_success(layout, manifest.digest, access);
    tag(layout, manifest, request.reference.local_name());
    if (!disks || manifest.digest != announced.digest) return std::nullopt;
    auto image = load(request.reference);
    if (!has_digests(image, *disks)) return std::nullopt;
    auto unpacked = finish_unpacking(image, *disks, std::move(incoming), folder, settings_.max_disk);
    return ObtainedImage{.image = std::move(image), .unpacked = std::move(unpacked)};
  });
}

KnownSpans ImageStore::known_spans() const {
  KnownSpans known;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(settings_.vmdir, error)) {
    if (entry.path().filename().string().starts_with('.') || !entry.is_directory(error)) continue;
    try {
      const auto marker = read_unpacked_marker(entry.path());
      if (!marker || marker->second != DisksState::untouched) continue;
      for (const auto& disk : marker->first.disks) {
        for (const auto& span : disk.spans)
          known[span.layer.text()] = {.file = entry.path() / disk.name, .at = span.at, .length = span.length};
      }
    } catch (const Error&) {
      // A neighbour that cannot be read has nothing to share.
    }
  }
  return known;
}

/// A folder that is there already: ours, or one that sardinecake unpacked, which is then checked and marked.
UnpackedImage ImageStore::adopt(const StoredImage& image, const fs::path& folder) const {
  const auto advice = "; remove the folder if it is of no use, or import under another name";
  if (const auto marker = read_unpacked_marker(folder)) {
    if (marker->first.config_digest != image.config_digest.text())
      throw Error(folder.string() + " holds another image" + advice);
    for (const auto& name : marker->first.names()) {
      if (!fs::exists(folder / name))
        throw Error(folder.string() + " lacks its disk " + quote(name) + advice);
    }
    if (marker->second == DisksState::changed)
      throw Error("the disks in " + folder.string() +
                  " have been changed since they were unpacked: they are the image's no more" + advice);
    return {.folder = folder, .disks = marker->first.names(), .was_there = true};
  }
  UnpackedImage unpacked{.folder = folder, .disks = {}, .was_there = true};
  for (const auto& wanted : image.disk_diff_ids) {
    const auto match = std::find_if(
        fs::directory_iterator(folder), fs::directory_iterator(), [&](const fs::directory_entry& entry) {
          return entry.is_regular_file() && digest_of_file(entry.path(), cancellation_) == wanted;
        });
    if (match == fs::directory_iterator())
      throw Error(folder.string() + " is there and does not hold the image's disks" + advice);
    unpacked.disks.push_back(match->path().filename().string());
  }
  for (const auto& name : unpacked.disks) check_chain(folder, name, unpacked.disks, settings_.max_disk);
  UnpackedMarker marker{.config_digest = image.config_digest.text(), .disks = {}};
  for (const auto& name : unpacked.disks) marker.disks.push_back({.name = name});
  write_unpacked_marker(folder, marker);
  return unpacked;
}

UnpackedImage ImageStore::unpack(const StoredImage& image, const std::string& name,
                                 const DiskProgress& progress) const {
  if (!is_bare_file_name(name))
    throw Error(Blame::job, "import as " + quote(name) + ": that cannot be a folder's name");
  return within("import " + quote(image.reference.text()), [&] {
    make_folders(settings_.vmdir, 0755);
    const auto lock = lock_unpacked(name);
    const auto folder = settings_.vmdir / name;
    if (fs::exists(folder)) return adopt(image, folder);
    auto incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0755);
    const auto known = can_share_extents(incoming.path()) ? known_spans() : KnownSpans();
    UnpackOptions options{.threads = settings_.threads,
                          .progress = progress,
                          .known = known.empty() ? nullptr : &known,
                          .limit = settings_.max_image};
    if (options.known != nullptr) {
      try {
        const auto disks = unpack_disks(image.layout, image.disks, incoming.path(), options, cancellation_);
        if (has_digests(image, disks))
          return finish_unpacking(image, disks, std::move(incoming), folder, settings_.max_disk);
      } catch (const Cancelled&) {
        throw;
      } catch (const Error&) {
        // Somebody writes to what was to be shared: then this image's own layers it is.
      }
      incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0755);
      options.known = nullptr;
    }
    const auto disks = unpack_disks(image.layout, image.disks, incoming.path(), options, cancellation_);
    return finish_unpacking(image, disks, std::move(incoming), folder, settings_.max_disk);
  });
}

std::string ImageStore::folder_for_jobs(const std::string& base_name) const {
  const auto is_usable = [&](const std::string& name) {
    const auto marker = read_unpacked_marker(settings_.vmdir / name);
    return marker && marker->second == DisksState::untouched;
  };
  if (is_usable(folder_for_clones(base_name))) return folder_for_clones(base_name);
  const bool is_taken = read_unpacked_marker(settings_.vmdir / base_name) && !is_usable(base_name);
  return is_taken ? folder_for_clones(base_name) : base_name;
}

std::vector<std::string> usual_folders(const std::string& base_name) {
  return {base_name, ImageStore::folder_for_clones(base_name)};
}

}  // namespace sarde
