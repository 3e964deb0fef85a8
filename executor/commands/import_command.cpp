#include "executor/commands/import_command.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain_xml.hpp"
#include "executor/stages/thin_copies.hpp"

namespace sarde {

std::string import_image(const CommandParts& parts, const std::string& container) {
  const auto& call = parts.settings.call;
  const auto image =
      call.raw ? parts.images.load_folder(container) : parts.images.load(ImageReference::parse(container));
  const auto name = call.name.empty() ? image.base_name() : call.name;
  const auto start = parts.clock.now();
  const auto unpacked = parts.images.unpack(image, name, parts.progress("importing"));
  parts.images.mark_used(image);
  if (!unpacked.was_there) {
    parts.reporter.say("Unpacked " + std::to_string(unpacked.disks.size()) + " disk file(s) to " +
                       unpacked.folder.string() + shared_note(unpacked) + parts.since(start));
  }
  auto& hypervisor = parts.hypervisor();
  auto uuid = hypervisor.uuid(name);
  if (!uuid) {
    uuid = within("import " + quote(image.reference.text()), [&] {
      std::map<std::string, DiskFile> files;
      for (const auto& disk : parse_domain(image.domain_xml, "the image's domain").disks) {
        const auto file = unpacked.folder / disk.file;
        files[disk.file] = {.path = file, .format = checked_disk_format(unpacked, disk)};
      }
      return hypervisor.define(domain_to_define(image.domain_xml, name, files));
    });
    parts.reporter.say("Defined VM " + name);
  }
  return call.print_uuid ? *uuid : name;
}

}  // namespace sarde
