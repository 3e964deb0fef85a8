#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain_xml.hpp"
#include "executor/commands/image_commands.hpp"
#include "executor/commands/progress_lines.hpp"

namespace sarde {

namespace {

StoredImage image_to_import(const ImageCommandParts& parts, const ImportRequest& request) {
  if (!request.raw) return parts.images.load(ImageReference::parse(request.container));
  return parts.images.load_folder(request.container);
}

}  // namespace

std::string import_image(const ImageCommandParts& parts, const ImportRequest& request) {
  const auto image = image_to_import(parts, request);
  const auto name = request.name.empty() ? image.base_name() : request.name;
  const auto start = parts.clock.now();
  const auto unpacked =
      parts.images.unpack(image, name, progress_lines("importing", parts.clock, parts.reporter));
  if (!unpacked.was_there) {
    parts.reporter.say("Unpacked " + std::to_string(unpacked.disks.size()) + " disk file(s) to " +
                       unpacked.folder.string() + " (" +
                       duration_text(milliseconds_between(start, parts.clock.now())) + ")");
  }
  auto& hypervisor = parts.hypervisor();
  auto uuid = hypervisor.uuid(name);
  if (!uuid) {
    uuid = within("import " + quote(image.reference.text()), [&] {
      return hypervisor.define(domain_for_import(image.domain_xml, name, unpacked.folder));
    });
    parts.reporter.say("Defined VM " + name);
  }
  return request.print == PrintedId::uuid ? *uuid : name;
}

}  // namespace sarde
