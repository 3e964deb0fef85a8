#include "executor/commands/import_command.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain_xml.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/stages/thin_copies.hpp"

namespace sarde {

namespace {

/// Defines the VM unless there is one of that name; what stdout gets.
std::string define(const CommandParts& parts, const StoredImage& image, const UnpackedImage& unpacked,
                   const std::string& name, TimePoint start) {
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
        files[disk.file] = {.path = unpacked.folder / disk.file,
                            .format = checked_disk_format(unpacked, disk)};
      }
      return hypervisor.define(domain_to_define(image.domain_xml, name, files));
    });
    parts.reporter.say("Defined VM " + name);
  }
  return parts.settings.call.print_uuid ? *uuid : name;
}

}  // namespace

std::string import_image(const CommandParts& parts, const std::string& container) {
  const auto& call = parts.settings.call;
  const auto start = parts.clock.now();
  const auto image =
      call.raw ? parts.images.load_folder(container) : parts.images.load(ImageReference::parse(container));
  const auto name = call.name.empty() ? image.base_name() : call.name;
  parts.images.mark_used(image);
  const auto unpacked = parts.images.unpack(image, name, parts.progress("unpacking"));
  return define(parts, image, unpacked, name, start);
}

std::string pull_image(const CommandParts& parts, const std::string& container) {
  const auto& name = parts.settings.call.name;
  const auto start = parts.clock.now();
  const auto [image, unpacked] = fetch_and_unpack_image(parts, container, ObtainRequest::Use::base_vm);
  return define(parts, image, unpacked, name.empty() ? image.base_name() : name, start);
}

}  // namespace sarde
