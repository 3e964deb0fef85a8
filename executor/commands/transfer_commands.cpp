#include "executor/commands/transfer_commands.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

RegistryAccess access_with_progress(const CommandParts& parts, const std::string& doing) {
  return {.authfile = {}, .progress = parts.progress(doing)};
}

void say_fetched(const CommandParts& parts, const StoredImage& image, TimePoint start) {
  parts.reporter.say("Fetched " + image.reference.text() + ", " + image.manifest.digest.text() + ", " +
                     size_text(image.compressed_size()) + parts.since(start));
}

}  // namespace

ImageReference source_of(const CommandParts& parts, const ImageReference& reference) {
  const auto& source = parts.settings.call.source;
  return source.empty() ? reference : ImageReference::parse(source);
}

ObtainedImage fetch_and_unpack_image(const CommandParts& parts, const std::string& container,
                                     DiskSharing sharing) {
  const auto reference = ImageReference::parse(container);
  const auto start = parts.clock.now();
  auto obtained =
      parts.images.obtain({.reference = reference,
                           .source = source_of(parts, reference),
                           .folder = parts.settings.call.name,
                           .sharing = sharing,
                           .progress =
                               [&](const std::string& doing, std::uint64_t done, std::uint64_t total) {
                                 parts.reporter.progress({.doing = doing, .done = done, .total = total});
                               }},
                          parts.registry, {});
  say_fetched(parts, obtained.image, start);
  return obtained;
}

StoredImage fetch_image(const CommandParts& parts, const std::string& container) {
  const auto reference = ImageReference::parse(container);
  const auto start = parts.clock.now();
  auto image = parts.images.fetch_as(reference, source_of(parts, reference), parts.registry,
                                     access_with_progress(parts, "fetching"));
  say_fetched(parts, image, start);
  return image;
}

void push_image(const CommandParts& parts, const std::string& container) {
  const auto image = parts.images.load(ImageReference::parse(container));
  const auto& target = parts.settings.call.target;
  const auto to = target.empty() ? image.reference : ImageReference::parse(target);
  const auto start = parts.clock.now();
  parts.registry.push(image.layout, image.manifest, to, access_with_progress(parts, "pushing"));
  parts.reporter.say("Pushed " + to.text() + ", " + image.manifest.digest.text() + ", " +
                     size_text(image.compressed_size()) + parts.since(start));
}

}  // namespace sarde
