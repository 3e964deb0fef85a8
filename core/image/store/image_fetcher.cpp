#include "core/image/store/image_fetcher.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/background_fetch.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/incoming_image.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

void ImageFetcher::check_sizes(const AnnouncedImage& announced) const {
  const auto layers = vm_layers(announced.manifest, "the manifest");
  auto small = layers.vm_config;
  small.insert(small.end(), layers.uefi_variables.begin(), layers.uefi_variables.end());
  small.push_back(layers.domain);
  small.push_back(announced.manifest.config);
  for (const auto& blob : small) check_small_blob(blob);
  parts_.unpacked.check_sizes(layers.disks);
}

StoredImage ImageFetcher::fetch(const ImageReference& reference, const ImageReference& source,
                                Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(source, access);  // what the registry has not leaves no folder
  within("image " + quote(source.text()), [&] { check_sizes(announced); });
  auto image = bring({.reference = reference, .source = source}, announced, registry, access);
  parts_.catalogue.tag(image.layout, image.manifest, image.tag);
  return image;
}

/// Fetched and read; not named yet.
StoredImage ImageFetcher::bring(const ObtainRequest& request, const AnnouncedImage& announced,
                                Registry& registry, const RegistryAccess& access) const {
  const auto layout = parts_.catalogue.layout_of(request.reference);
  // One at a time: a second process would load the same blobs again. And nobody removes the image meanwhile.
  const auto lock = parts_.locks.of_blobs(layout);
  const auto known = layout.find(request.reference.local_name());
  const IncomingImage bringing(layout, announced, access);
  return discarding_what_is_refused(bringing, [&] {
    const auto manifest = registry.fetch(request.source, announced, layout,
                                         known ? std::optional(known->manifest) : std::nullopt, access);
    auto image = within("image " + quote(request.reference.text()), [&] {
      bringing.check_sizes();
      auto found = read_stored_image(request.reference, layout,
                                     {.manifest = manifest, .tag = request.reference.local_name()});
      if (request.check) request.check(found.domain_xml);
      return found;
    });
    bringing.keep(access);
    set_modified_now(layout.blob(manifest.digest));
    return image;
  });
}

StoredImage ImageFetcher::fetch_description(const ImageReference& reference, const OciLayout& layout,
                                            Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(reference, access);
  return within("image " + quote(reference.text()), [&] {
    check_sizes(announced);
    const auto manifest = registry.fetch_description(reference, announced, layout, access);
    return read_stored_image(reference, layout, {.manifest = manifest, .tag = {}});
  });
}

namespace {

UnpackPlace place_for(const ObtainRequest& request, const Digest& config, const Digest& manifest) {
  if (request.sharing == DiskSharing::many) return {.name = manifest.text(), .sharing = DiskSharing::many};
  if (request.folder.empty()) return {.name = config.text(), .sharing = DiskSharing::one_vm};
  if (!is_bare_file_name(request.folder))
    throw Error(Blame::job, "unpack to " + quote(request.folder) + ": that cannot be a folder's name");
  return {.name = request.folder, .sharing = DiskSharing::one_vm};
}

}  // namespace

ObtainedImage ImageFetcher::obtain(const ObtainRequest& request, Registry& registry,
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
                             [&] { return parts_.unpacked.unpack_to(image, place, show_unpacking); });
      parts_.catalogue.tag(image.layout, image.manifest, image.tag);
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
std::optional<ObtainedImage> ImageFetcher::fetch_and_unpack(const ObtainRequest& request, Registry& registry,
                                                            const AnnouncedImage& announced,
                                                            const RegistryAccess& access) const {
  const auto layout = parts_.catalogue.layout_of(request.reference);
  if (layout.holds(announced.manifest)) return std::nullopt;
  const auto place = place_for(request, announced.manifest.config.digest, announced.digest);
  make_folders(parts_.settings.vmdir, 0700);
  const auto fetch_lock = parts_.locks.of_blobs(layout);
  const auto lock = parts_.locks.of_unpacked(place.name);
  if (fs::exists(parts_.settings.vmdir / place.name) || layout.holds(announced.manifest)) return std::nullopt;
  if (request.announce_use) request.announce_use(announced.manifest.config.digest.text());
  const IncomingImage incoming(layout, announced, access);
  return within("image " + quote(request.reference.text()), [&] {
    return discarding_what_is_refused(incoming, [&] {
      BackgroundFetch fetching(request, registry, announced, layout, access);
      auto obtained = unpack_while_fetching(request, announced, {layout, place, incoming, fetching});
      if (obtained) incoming.keep(access);
      return obtained;
    });
  });
}

std::optional<ObtainedImage> ImageFetcher::unpack_while_fetching(const ObtainRequest& request,
                                                                 const AnnouncedImage& announced,
                                                                 const Arrival& arrival) const {
  const auto& [layout, place, incoming, fetching] = arrival;
  auto folder = TempFolder::in(parts_.settings.vmdir, ".incoming-", 0700);
  const auto known = parts_.unpacked.shareable_with(folder.path());
  auto options = options_for(request, arrival);
  if (!known.empty()) options.known = &known;
  const auto layers = vm_layers(announced.manifest, "the manifest");
  options.await(layers.domain);
  incoming.check_size(layers.domain);
  if (request.check) request.check(layout.read_blob(layers.domain));
  const auto disks = unpack_disks(layout, layers.disks, folder.path(), options, parts_.cancellation);
  const auto manifest = fetching.finish();
  incoming.check_sizes();
  auto image = read_stored_image(request.reference, layout,
                                 {.manifest = manifest, .tag = request.reference.local_name()});
  if (!known.empty() && !has_digests(image, disks)) return std::nullopt;
  auto unpacked = finish_unpacking(image, disks, std::move(folder),
                                   {.folder = parts_.settings.vmdir / place.name,
                                    .sharing = place.sharing,
                                    .max_disk = parts_.settings.max_disk});
  set_modified_now(layout.blob(manifest.digest));
  parts_.catalogue.tag(layout, manifest, image.tag);
  return ObtainedImage{.image = std::move(image), .unpacked = std::move(unpacked)};
}

/// Each layer is waited for, and how far both works are is shown.
UnpackOptions ImageFetcher::options_for(const ObtainRequest& request, const Arrival& arrival) const {
  const auto show = [&request, &fetching = arrival.fetching](std::uint64_t done, std::uint64_t total) {
    if (!request.progress) return;
    if (fetching.ended()) {
      request.progress("unpacking", done, total);
    } else {
      request.progress("fetching and unpacking", fetching.done(), fetching.total());
    }
  };
  return {.threads = parts_.settings.threads,
          .progress = show,
          .limit = parts_.settings.max_image,
          .is_checked = [&incoming = arrival.incoming](
                            const Descriptor& blob) { return incoming.was_missing(blob.digest); },
          .await =
              [this, show, &fetching = arrival.fetching](const Descriptor& blob) {
                constexpr std::chrono::milliseconds pause(5);
                while (!fetching.has(blob)) {
                  show(0, 0);
                  parts_.clock.sleep(pause, parts_.cancellation);
                }
              }};
}

}  // namespace sarde
