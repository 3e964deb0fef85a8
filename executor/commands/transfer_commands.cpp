#include "core/foundation/text.hpp"
#include "executor/commands/image_commands.hpp"

namespace sarde {

namespace {

RegistryAccess with_heartbeat(const ImageCommandParts& parts, const std::string& doing) {
  return {.authfile = {}, .heartbeat = [&parts, doing](std::chrono::milliseconds since) {
            parts.reporter.say("  still " + doing + " (" + duration_text(since) + ")");
          }};
}

}  // namespace

StoredImage fetch_image(const ImageCommandParts& parts, const std::string& container,
                        const std::string& source) {
  const auto reference = ImageReference::parse(container);
  const auto start = parts.clock.now();
  auto image = source.empty()
                   ? parts.images.fetch(reference, parts.registry, with_heartbeat(parts, "fetching"))
                   : parts.images.fetch_as(reference, ImageReference::parse(source), parts.registry,
                                           with_heartbeat(parts, "fetching"));
  parts.reporter.say("Fetched " + reference.text() + ", " + image.manifest.digest.text() + ", " +
                     size_text(image.compressed_size()) + " (" +
                     duration_text(milliseconds_between(start, parts.clock.now())) + ")");
  return image;
}

void push_image(const ImageCommandParts& parts, const std::string& container, const std::string& target) {
  const auto image = parts.images.load(ImageReference::parse(container));
  const auto to = target.empty() ? image.reference : ImageReference::parse(target);
  const auto start = parts.clock.now();
  parts.registry.push(image.layout, image.manifest, to, with_heartbeat(parts, "pushing"));
  parts.reporter.say("Pushed " + to.text() + ", " + image.manifest.digest.text() + " (" +
                     duration_text(milliseconds_between(start, parts.clock.now())) + ")");
}

}  // namespace sarde
