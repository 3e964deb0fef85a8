#include "executor/commands/transfer_commands.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

RegistryAccess access_with_progress(const CommandParts& parts, const std::string& doing) {
  return {.authfile = {}, .progress = parts.progress(doing)};
}

}  // namespace

StoredImage fetch_image(const CommandParts& parts, const std::string& container) {
  const auto reference = ImageReference::parse(container);
  const auto& source = parts.settings.call.source;
  const auto start = parts.clock.now();
  auto image = parts.images.fetch_as(reference, source.empty() ? reference : ImageReference::parse(source),
                                     parts.registry, access_with_progress(parts, "fetching"));
  parts.reporter.say("Fetched " + reference.text() + ", " + image.manifest.digest.text() + ", " +
                     size_text(image.compressed_size()) + parts.since(start));
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
