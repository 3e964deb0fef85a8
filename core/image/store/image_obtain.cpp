// ImageStore: how an image comes from a registry.
#include <algorithm>
#include <atomic>
#include <exception>
#include <set>
#include <thread>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/image_store.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// Under the layout's lock: what is brought of an image, which goes again if the image is refused.
class Bringing {
 public:
  Bringing(const OciLayout& layout, const AnnouncedImage& announced, const RegistryAccess& access)
      : layout_(layout),
        mark_(private_mark(layout, announced.digest)),
        announced_(announced.manifest.layers) {
    announced_.push_back(announced.manifest.config);
    for (const auto& blob : announced_) note_if_missing(blob.digest);
    note_if_missing(announced.digest);
    std::error_code error;
    is_marked_ = access.authfile.has_value() && !fs::exists(layout.blob(announced.digest), error);
    // Before the first blob comes: whoever dies then leaves nothing that anybody may have.
    if (!is_marked_) return;
    make_folders(mark_.parent_path(), 0700);
    write_file(mark_, "", 0600);
  }

  /// Was it not there before, so that skopeo has brought it and looked at its digest?
  [[nodiscard]] bool was_missing(const Digest& digest) const { return missing_.contains(digest.hex()); }

  /// skopeo looks at a blob's digest and not at its size, by which it was let in.
  void check_sizes() const {
    for (const auto& blob : announced_) check_size(blob);
  }

  void check_size(const Descriptor& blob) const {
    std::error_code missing;
    const auto size = fs::file_size(layout_.blob(blob.digest), missing);
    if (missing || size == blob.size) return;
    throw Error(Blame::job, "the blob " + blob.digest.text() + " has " + std::to_string(size) +
                                " bytes, not " + std::to_string(blob.size) + " as the manifest says");
  }

  /// It may stay. With this machine's own credentials every job could have it.
  void keep(const RegistryAccess& access) const {
    if (!access.authfile) remove_if_there(mark_);
  }

  /// The image is refused: nothing of it stays that was not there before.
  void discard() const {
    for (const auto& hex : missing_) remove_if_there(layout_.blobs() / hex);
    if (is_marked_) remove_if_there(mark_);
  }

 private:
  void note_if_missing(const Digest& digest) {
    std::error_code error;
    if (!fs::exists(layout_.blob(digest), error)) missing_.insert(digest.hex());
  }

  const OciLayout& layout_;
  fs::path mark_;
  std::vector<Descriptor> announced_;
  std::set<std::string> missing_;
  bool is_marked_ = false;
};

/// Runs `work`; what a refused image has brought is discarded.
template <typename Work>
auto discarding_what_is_refused(const Bringing& bringing, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.blame() == Blame::job) bringing.discard();
    throw;
  }
}

std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
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

void ImageStore::check_sizes(const AnnouncedImage& announced) const {
  const auto layers = vm_layers(announced.manifest, "the manifest");
  auto small = layers.vm_config;
  small.push_back(layers.domain);
  small.push_back(announced.manifest.config);
  for (const auto& blob : small) check_small_blob(blob);
  check_disk_sizes(layers.disks);
}

void ImageStore::check_disk_sizes(const std::vector<DiskLayers>& disks) const {
  std::uint64_t packed = 0;
  std::uint64_t declared = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) packed = saturating_sum(packed, chunk.size);
    declared = saturating_sum(declared, declared_size(disk).value_or(0));
  }
  const auto refuse = [&](const std::string& what, std::uint64_t bytes) {
    throw Error(Blame::job, "the image's disks " + what + " " + size_text(bytes) + ", more than max-image, " +
                                size_text(settings_.max_image));
  };
  if (packed > settings_.max_image) refuse("are, still packed,", packed);
  if (declared > settings_.max_image) refuse("are said to be", declared);
}

StoredImage ImageStore::fetch_as(const ImageReference& reference, const ImageReference& source,
                                 Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(source, access);  // what the registry has not leaves no folder
  within("image " + quote(source.text()), [&] { check_sizes(announced); });
  auto image = bring({.reference = reference, .source = source}, announced, registry, access);
  tag(image.layout, image.manifest, image.tag);
  return image;
}

/// Fetched and read; not named yet.
StoredImage ImageStore::bring(const ObtainRequest& request, const AnnouncedImage& announced,
                              Registry& registry, const RegistryAccess& access) const {
  const auto layout = layout_of(request.reference);
  // One at a time: a second process would load the same blobs again. And nobody removes the image meanwhile.
  const auto lock = lock_blobs(layout);
  const auto known = layout.find(request.reference.local_name());
  const Bringing bringing(layout, announced, access);
  return discarding_what_is_refused(bringing, [&] {
    const auto manifest = registry.fetch(request.source, announced, layout,
                                         known ? std::optional(known->manifest) : std::nullopt, access);
    auto image = within("image " + quote(request.reference.text()), [&] {
      bringing.check_sizes();
      auto found =
          read(request.reference, layout, {.manifest = manifest, .tag = request.reference.local_name()});
      if (request.check) request.check(found.domain_xml);
      return found;
    });
    bringing.keep(access);
    set_modified_now(layout.blob(manifest.digest));
    return image;
  });
}

StoredImage ImageStore::fetch_description(const ImageReference& reference, const OciLayout& layout,
                                          Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(reference, access);
  return within("image " + quote(reference.text()), [&] {
    check_sizes(announced);
    const auto manifest = registry.fetch_description(reference, announced, layout, access);
    return read(reference, layout, {.manifest = manifest, .tag = {}});
  });
}

ImageStore::UnpackPlace ImageStore::place_for(const ObtainRequest& request, const Digest& config,
                                              const Digest& manifest) {
  if (request.sharing == DiskSharing::many) return {.name = manifest.text(), .sharing = DiskSharing::many};
  if (request.folder.empty()) return {.name = config.text(), .sharing = DiskSharing::one_vm};
  if (!is_bare_file_name(request.folder))
    throw Error(Blame::job, "unpack to " + quote(request.folder) + ": that cannot be a folder's name");
  return {.name = request.folder, .sharing = DiskSharing::one_vm};
}

ObtainedImage ImageStore::obtain(const ObtainRequest& request, Registry& registry,
                                 const RegistryAccess& access) const {
  const auto announced = request.announced ? *request.announced : registry.announce(request.source, access);
  within("image " + quote(request.source.text()), [&] { check_sizes(announced); });
  if (auto both = fetch_and_unpack(request, registry, announced, access)) return std::move(*both);
  auto shown = access;
  shown.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("fetching", done, total);
  };
  const auto show_unpacking = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("unpacking", done, total);
  };
  for (int tries = 0;; ++tries) {
    auto image = bring(request, announced, registry, shown);
    if (request.announce_use) request.announce_use(image.config_digest.text());
    try {
      const auto place = place_for(request, image.config_digest, image.manifest.digest);
      auto unpacked = within("import " + quote(request.reference.text()),
                             [&] { return unpack_to(image, place, show_unpacking); });
      tag(image.layout, image.manifest, image.tag);
      return {.image = std::move(image), .unpacked = std::move(unpacked)};
    } catch (const Error&) {
      // Before its use was announced, somebody may have removed it.
      constexpr int enough = 3;
      if (tries == enough || image.layout.holds(announced.manifest)) throw;
    }
  }
}

/// Nothing where there is nothing to gain (all of it is in the cache, or unpacked already), or where what was
/// to be shared with other images is not what it should be.
std::optional<ObtainedImage> ImageStore::fetch_and_unpack(const ObtainRequest& request, Registry& registry,
                                                          const AnnouncedImage& announced,
                                                          const RegistryAccess& access) const {
  const auto layout = layout_of(request.reference);
  if (layout.holds(announced.manifest)) return std::nullopt;
  const auto place = place_for(request, announced.manifest.config.digest, announced.digest);
  make_folders(settings_.vmdir, 0700);
  const auto folder = settings_.vmdir / place.name;
  const auto fetch_lock = lock_blobs(layout);
  const auto lock = lock_unpacked(place.name);
  if (fs::exists(folder) || layout.holds(announced.manifest)) return std::nullopt;
  if (request.announce_use) request.announce_use(announced.manifest.config.digest.text());
  const Bringing bringing(layout, announced, access);
  const auto fetch = [&]() -> std::optional<ObtainedImage> {
    auto incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0700);
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
    const UnpackOptions options{
        .threads = settings_.threads,
        .progress = show,
        .known = known.empty() ? nullptr : &known,
        .limit = settings_.max_image,
        .is_checked = [&](const Descriptor& blob) { return bringing.was_missing(blob.digest); },
        .await =
            [&](const Descriptor& blob) {
              while (!fetching.has(blob)) {
                show(0, 0);
                clock_.sleep(pause, cancellation_);
              }
            }};
    const auto layers = vm_layers(announced.manifest, "the manifest");
    options.await(layers.domain);
    bringing.check_size(layers.domain);
    if (request.check) request.check(layout.read_blob(layers.domain));
    const auto disks = unpack_disks(layout, layers.disks, incoming.path(), options, cancellation_);
    const auto manifest = fetching.finish();
    bringing.check_sizes();
    auto image =
        read(request.reference, layout, {.manifest = manifest, .tag = request.reference.local_name()});
    if (!known.empty() && !has_digests(image, disks)) return std::nullopt;
    auto unpacked =
        finish_unpacking(image, disks, std::move(incoming),
                         {.folder = folder, .sharing = place.sharing, .max_disk = settings_.max_disk});
    bringing.keep(access);
    set_modified_now(layout.blob(manifest.digest));
    tag(layout, manifest, image.tag);
    return ObtainedImage{.image = std::move(image), .unpacked = std::move(unpacked)};
  };
  return within("image " + quote(request.reference.text()),
                [&] { return discarding_what_is_refused(bringing, fetch); });
}

}  // namespace sarde
