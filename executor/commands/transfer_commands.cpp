#include "executor/commands/transfer_commands.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

RegistryAccess access_with_progress(const CommandTools& tools, const std::string& doing) {
  return {.authfile = {}, .progress = progress_of(tools.reporter, doing)};
}

/// The manifest that the cache has under this name.
std::optional<Digest> known_digest(const CommandTools& tools, const ImageReference& reference) {
  const auto found = tools.images.catalogue.find(reference);
  if (!found) return std::nullopt;
  return found->second.manifest.digest;
}

void say_fetched(const StoredImage& image, const std::optional<Digest>& known, const Phase& phase) {
  const auto facts = image.manifest.digest.text() + ", " + size_text(image.compressed_size());
  phase.done(known == image.manifest.digest ? image.reference.text() + " is up to date, " + facts
                                            : "Fetched " + image.reference.text() + ", " + facts);
}

}  // namespace

ImageReference source_of(const FetchRequest& request) {
  return ImageReference::parse(request.source.empty() ? request.container : request.source);
}

ObtainedImage fetch_and_unpack_image(const CommandTools& tools, const FetchRequest& request,
                                     DiskSharing sharing, const std::string& folder) {
  const auto reference = ImageReference::parse(request.container);
  const Phase phase(tools.clock, tools.reporter);
  const auto known = known_digest(tools, reference);
  auto obtained = tools.images.fetcher.obtain({.reference = reference,
                                               .source = source_of(request),
                                               .folder = folder,
                                               .sharing = sharing,
                                               .keep_blobs = request.keep_blobs,
                                               .progress = progress_in(tools.reporter)},
                                              tools.registry, {});
  say_fetched(obtained.image, known, phase);
  return obtained;
}

StoredImage fetch_image(const CommandTools& tools, const FetchRequest& request) {
  const auto reference = ImageReference::parse(request.container);
  const Phase phase(tools.clock, tools.reporter);
  const auto known = known_digest(tools, reference);
  auto image = tools.images.fetcher.fetch(reference, source_of(request), tools.registry,
                                          access_with_progress(tools, "fetching"));
  say_fetched(image, known, phase);
  return image;
}

UnpackedImage unpack_cached_image(const CommandTools& tools, const StoredImage& image, DiskSharing sharing,
                                  const std::string& folder) {
  const auto& unpacked = tools.images.unpacked;
  const auto progress = progress_of(tools.reporter, "unpacking");
  if (image.has_packed_disks())
    return sharing == DiskSharing::many ? unpacked.unpack_shared(image, progress)
                                        : unpacked.unpack(image, folder, progress);
  auto request = request_for(image);
  request.sharing = sharing;
  request.folder = folder;
  request.progress = progress_in(tools.reporter);
  return tools.images.fetcher.obtain(request, tools.registry, {}).unpacked;
}

NamedImage push_image(const CommandTools& tools, const PushRequest& request) {
  auto image = tools.images.catalogue.load(ImageReference::parse(request.container));
  if (!image.has_packed_disks()) {
    tools.reporter.say("The cache has not kept the layers of " + image.reference.text() +
                       "'s disks (keep-blobs); fetching them");
    image = tools.images.fetcher.complete(image, tools.registry, access_with_progress(tools, "fetching"));
  }
  const auto to = request.target.empty() ? image.reference : ImageReference::parse(request.target);
  const Phase phase(tools.clock, tools.reporter);
  tools.registry.push(image.layout, image.manifest, to, access_with_progress(tools, "pushing"));
  phase.done("Pushed " + to.text() + ", " + image.manifest.digest.text() + ", " +
             size_text(image.compressed_size()));
  auto pushed = named(image);
  pushed.name = to.text();
  return pushed;
}

}  // namespace sarde
