#include "core/image/store/image_fetcher.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_sink.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/image/store/arriving_blobs.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/incoming_image.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// Runs `work`; the message of a failure names the image, if it does not already (as what is said about its
/// registry does).
template <typename Work>
auto about_image(const ImageReference& reference, Work work) {
  const auto name = quote(reference.text());
  try {
    return work();
  } catch (const Error& error) {
    const std::string message = error.what();
    throw Error(error.blame(),
                message.find(name) == std::string::npos ? "image " + name + ": " + message : message);
  }
}

/// What describes the image, in the order in which it is brought.
std::vector<Descriptor> small_blobs(const AnnouncedImage& announced) {
  const auto layers = vm_layers(announced.manifest, "the manifest");
  std::vector<Descriptor> small{announced.manifest.config, layers.domain};
  small.insert(small.end(), layers.vm_config.begin(), layers.vm_config.end());
  small.insert(small.end(), layers.uefi_variables.begin(), layers.uefi_variables.end());
  return small;
}

/// Of the image's blobs those that the layout lacks and that are wanted.
template <typename IsWanted>
std::vector<Descriptor> missing_blobs(const OciLayout& layout, std::vector<Descriptor> blobs,
                                      IsWanted is_wanted) {
  std::erase_if(blobs, [&](const Descriptor& blob) {
    std::error_code ignored;
    return !is_wanted(blob) || fs::exists(layout.blob(blob.digest), ignored);
  });
  return blobs;
}

std::vector<Descriptor> all_blobs(const AnnouncedImage& announced) {
  auto blobs = small_blobs(announced);
  std::set<Digest> known;
  for (const auto& blob : blobs) known.insert(blob.digest);
  for (const auto& layer : announced.manifest.layers) {
    if (known.insert(layer.digest).second) blobs.push_back(layer);
  }
  return blobs;
}

}  // namespace

void ImageFetcher::check_sizes(const AnnouncedImage& announced) const {
  for (const auto& blob : small_blobs(announced)) check_small_blob(blob);
  parts_.unpacked.check_sizes(vm_layers(announced.manifest, "the manifest").disks);
}

StoredImage ImageFetcher::fetch(const ImageReference& reference, const ImageReference& source,
                                Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(source, access);  // what the registry has not leaves no folder
  within("image " + quote(source.text()), [&] { check_sizes(announced); });
  auto image = bring({.reference = reference, .source = source}, announced, Extent::all, registry, access);
  parts_.catalogue.tag(image.layout, image.manifest, image.tag);
  return image;
}

/// Fetched and read; not named yet.
StoredImage ImageFetcher::bring(const ObtainRequest& request, const AnnouncedImage& announced, Extent extent,
                                Registry& registry, const RegistryAccess& access) const {
  const auto layout = parts_.catalogue.layout_of(request.reference);
  // One at a time: a second process would load the same blobs again. And nobody removes the image meanwhile.
  const auto lock = parts_.locks.of_blobs(layout);
  layout.create();
  const IncomingImage bringing(layout, announced, access);
  return discarding_what_is_refused(bringing, [&] {
    const auto wanted = extent == Extent::all ? all_blobs(announced) : small_blobs(announced);
    const auto remote =
        registry.open(request.source, announced,
                      missing_blobs(layout, wanted, [](const Descriptor&) { return true; }), layout, access);
    auto image = about_image(request.reference, [&] {
      ArrivingBlobs blobs(layout, *remote, {});
      auto found = read_description(request, announced, layout, blobs);
      for (const auto& blob : wanted) blobs.bring(blob);
      blobs.settle();
      return found;
    });
    if (!request.is_from_cache) bringing.keep(access);
    return image;
  });
}

ObtainRequest request_for(const StoredImage& image) {
  const auto text = image.layout.read_blob(image.manifest);
  const auto name = image.cached_name();
  return {
      .reference = name,
      .source = name.with_digest(image.manifest.digest),
      .keep_blobs = false,
      .is_from_cache = true,
      .announced = AnnouncedImage{
          .digest = image.manifest.digest, .manifest = parse_manifest(text, "the manifest"), .text = text}};
}

StoredImage ImageFetcher::complete(const StoredImage& image, Registry& registry,
                                   const RegistryAccess& access) const {
  const auto request = request_for(image);
  return bring(request, *request.announced, Extent::all, registry, access);
}

/// Brings what describes the image, and reads it.
StoredImage ImageFetcher::read_description(const ObtainRequest& request, const AnnouncedImage& announced,
                                           const OciLayout& layout, ArrivingBlobs& blobs) {
  for (const auto& blob : small_blobs(announced)) blobs.bring(blob);
  blobs.settle();
  const auto manifest = layout.add_blob(announced.text, media_type::manifest);
  auto image = read_stored_image(request.reference, layout,
                                 {.manifest = manifest, .tag = request.reference.local_name()});
  if (request.check) request.check(image.domain_xml);
  return image;
}

StoredImage ImageFetcher::fetch_description(const ImageReference& reference, const OciLayout& layout,
                                            Registry& registry, const RegistryAccess& access) const {
  const auto announced = registry.announce(reference, access);
  return about_image(reference, [&] {
    check_sizes(announced);
    layout.create();
    const auto remote = registry.open(reference, announced, small_blobs(announced), layout, access);
    ArrivingBlobs blobs(layout, *remote, {});
    return read_description({.reference = reference, .source = reference}, announced, layout, blobs);
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
  auto shown = access;
  shown.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("fetching", done, total);
  };
  const auto show_unpacking = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("unpacking", done, total);
  };
  for (int tries = 0;; ++tries) {
    if (auto both = fetch_and_unpack(request, announced, registry, access)) return std::move(*both);
    // Who knows a private image's manifest has not shown by that that he may have its disks.
    const bool may_have_disks = parts_.unpacked.is_open_to(
        place_for(request, announced.manifest.config.digest, announced.digest).name, request.reference);
    const auto extent = request.keep_blobs || !may_have_disks ? Extent::all : Extent::without_disks;
    auto image = bring(request, announced, extent, registry, shown);
    if (request.announce_use) request.announce_use(image.config_digest.text());
    try {
      const auto place = place_for(request, image.config_digest, image.manifest.digest);
      auto unpacked = within("import " + quote(request.reference.text()),
                             [&] { return parts_.unpacked.unpack_to(image, place, show_unpacking); });
      parts_.catalogue.tag(image.layout, image.manifest, image.tag);
      return {.image = std::move(image), .unpacked = std::move(unpacked)};
    } catch (const Error&) {
      // Before its use was announced, somebody may have removed it; or its disks turned out to be changed.
      constexpr int enough = 3;
      if (tries == enough || image.layout.holds(announced.manifest)) throw;
    }
  }
}

namespace {

/// These disks, and all that they are based on, of which the headers are there.
std::set<std::string> with_backing_files(std::set<std::string> names, const PartialImage& disks) {
  for (std::size_t before = 0; before != names.size();) {
    before = names.size();
    for (std::size_t disk = 0; disk < disks.disks().size(); ++disk) {
      if (!names.contains(disks.disks()[disk].name)) continue;
      const auto header = read_qcow2_header(disks.file(disk));
      if (header && header->backing_file) names.insert(*header->backing_file);
    }
  }
  return names;
}

}  // namespace

bool ImageFetcher::can_obtain_partly(const ObtainRequest& request, Registry& registry) const {
  const auto& announced = *request.announced;
  std::error_code ignored;
  return !fs::exists(parts_.settings.vmdir / announced.digest.text(), ignored) &&
         registry.gives_single_blobs() && layer_grids(vm_layers(announced.manifest, "the manifest").disks) &&
         !parts_.catalogue.layout_of(request.reference).holds(announced.manifest);
}

StoredImage ImageFetcher::obtain_description(const ObtainRequest& request, Registry& registry,
                                             const RegistryAccess& access) const {
  within("image " + quote(request.source.text()), [&] { check_sizes(*request.announced); });
  auto image = bring(request, *request.announced, Extent::without_disks, registry, access);
  if (request.announce_use) request.announce_use(image.config_digest.text());
  return image;
}

PartlyObtained ImageFetcher::obtain_partly(
    const ObtainRequest& request, const std::function<std::set<std::string>(const StoredImage&)>& whole,
    Registry& registry, const RegistryAccess& access) const {
  auto image = obtain_description(request, registry, access);
  return about_image(request.reference, [&] {
    const auto& vmdir = parts_.settings.vmdir;
    if (!PartialImage::is_there_for(request.reference.repository(), vmdir, image.manifest.digest))
      PartialImage::remove(vmdir, image.manifest.digest);
    auto disks = PartialImage::open(vmdir,
                                    {.manifest = image.manifest.digest.text(),
                                     .config = image.config_digest.text(),
                                     .private_to = repository_it_is_private_to(image)},
                                    layer_grids(image.disks).value());
    try {
      disks.take(parts_.unpacked.known_layers(image.disks, request.reference), parts_.cancellation);
      std::vector<Descriptor> first;
      for (const auto& disk : image.disks) first.push_back(disk.chunks.front());
      const auto remote = registry.open(request.source, *request.announced, first, image.layout, access);
      ArrivingBlobs blobs(image.layout, *remote, digests_of(image.disks));
      std::vector<std::string> names;
      for (std::size_t disk = 0; disk < disks.disks().size(); ++disk) {
        names.push_back(disks.disks()[disk].name);
        disks.bring_tables(disk, blobs, parts_.settings.threads, parts_.cancellation);
      }
      const auto wanted_whole = with_backing_files(whole(image), disks);
      for (std::size_t disk = 0; disk < names.size(); ++disk) {
        if (!wanted_whole.contains(names[disk])) continue;
        for (const auto place : disks.layers_with(disk, 0, UINT64_MAX))
          disks.bring(place, blobs, parts_.settings.threads, parts_.cancellation);
      }
      check_disks(disks.folder(), names, parts_.settings.max_disk);
    } catch (const Error& error) {
      if (error.blame() == Blame::job) remove_if_there(disks.folder());
      throw;
    }
    parts_.catalogue.tag(image.layout, image.manifest, image.tag);
    return PartlyObtained{.image = std::move(image), .disks = std::move(disks)};
  });
}

/// Nothing where all of it is in the cache, or unpacked already.
std::optional<ObtainedImage> ImageFetcher::fetch_and_unpack(const ObtainRequest& request,
                                                            const AnnouncedImage& announced,
                                                            Registry& registry,
                                                            const RegistryAccess& access) const {
  const auto layout = parts_.catalogue.layout_of(request.reference);
  if (layout.holds(announced.manifest)) return std::nullopt;
  const auto place = place_for(request, announced.manifest.config.digest, announced.digest);
  make_folders(parts_.settings.vmdir, 0700);
  const auto lock = parts_.locks.of_unpacked(place.name);
  const auto fetch_lock = parts_.locks.of_blobs(layout);
  if (fs::exists(parts_.settings.vmdir / place.name) || layout.holds(announced.manifest)) return std::nullopt;
  if (request.announce_use) request.announce_use(announced.manifest.config.digest.text());
  layout.create();
  const IncomingImage incoming(layout, announced, access);
  return about_image(request.reference, [&] {
    return discarding_what_is_refused(incoming, [&] {
      auto obtained = unpack_arriving(request, announced, place, true, registry, access);
      if (!obtained) obtained = unpack_arriving(request, announced, place, false, registry, access);
      if (!request.is_from_cache) incoming.keep(access);
      return obtained;
    });
  });
}

/// Unpacks the disks while their blobs come; `reuse`: what other images have unpacked already is taken from
/// there. Nothing where that was not what it should be.
std::optional<ObtainedImage> ImageFetcher::unpack_arriving(const ObtainRequest& request,
                                                           const AnnouncedImage& announced,
                                                           const UnpackPlace& place, bool reuse,
                                                           Registry& registry,
                                                           const RegistryAccess& access) const {
  const auto layout = parts_.catalogue.layout_of(request.reference);
  auto folder = TempFolder::in(parts_.settings.vmdir, ".incoming-", 0700);
  const auto layers = vm_layers(announced.manifest, "the manifest");
  const auto known = reuse ? parts_.unpacked.known_layers(layers.disks, request.reference) : KnownSpans{};
  const auto on_disks = digests_of(layers.disks);
  const auto small = small_blobs(announced);
  const auto wanted = missing_blobs(layout, all_blobs(announced), [&](const Descriptor& blob) {
    if (request.keep_blobs) return true;
    return on_disks.contains(blob.digest)
               ? !known.contains(blob.digest.text())
               : std::ranges::find(small, blob.digest, &Descriptor::digest) != small.end();
  });
  auto shown = access;
  shown.progress = [&](std::uint64_t done, std::uint64_t total) {
    if (request.progress) request.progress("fetching and unpacking", done, total);
  };
  const auto remote = registry.open(request.source, announced, wanted, layout, shown);
  ArrivingBlobs blobs(layout, *remote, request.keep_blobs ? std::set<Digest>{} : on_disks);
  auto image = read_description(request, announced, layout, blobs);
  std::vector<UnfinishedDisk> unfinished;
  const UnpackOptions options{.threads = parts_.settings.threads,
                              .known = known.empty() ? nullptr : &known,
                              .with_diff_id = needs_diff_ids(known, place.sharing),
                              .sync = is_synced_at_once(place.sharing),
                              .limit = parts_.settings.max_image,
                              .unfinished = &unfinished};
  std::vector<UnpackedDisk> disks;
  try {
    disks = unpack_disks(blobs, image.disks, folder.path(), options, parts_.cancellation);
  } catch (const ReuseFailed&) {
    return std::nullopt;
  } catch (const Error& error) {
    if (error.blame() == Blame::host)
      parts_.unpacked.keep_unfinished(std::move(folder), place.name, image, unfinished);
    throw;
  } catch (const Cancelled&) {
    parts_.unpacked.keep_unfinished(std::move(folder), place.name, image, unfinished);
    throw;
  }
  if (!known.empty() && !has_digests(image, disks)) return std::nullopt;
  for (const auto& blob : wanted) {
    if (request.keep_blobs) {
      blobs.bring(blob);
    } else if (on_disks.contains(blob.digest)) {
      remove_if_there(layout.blob(blob.digest));  // where the registry could give them only all together
    }
  }
  blobs.settle();
  auto unpacked = finish_unpacking(image, disks, std::move(folder),
                                   {.folder = parts_.settings.vmdir / place.name,
                                    .sharing = place.sharing,
                                    .max_disk = parts_.settings.max_disk});
  parts_.unpacked.drop_unfinished(place.name);
  parts_.catalogue.tag(layout, image.manifest, image.tag);
  return ObtainedImage{.image = std::move(image), .unpacked = std::move(unpacked)};
}

}  // namespace sarde
