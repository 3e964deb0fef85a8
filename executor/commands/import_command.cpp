#include "executor/commands/import_command.hpp"

#include <algorithm>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/commands/definitions.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/job/thin_copies.hpp"

namespace sarde {

namespace {

/// A VM of that name that is there already, if it is the image's: its UUID. Throws Error if it is another's,
/// so that nobody starts that one for the image's.
std::optional<std::string> existing(const CommandParts& parts, const std::string& doing,
                                    const std::string& name) {
  auto& hypervisor = parts.hypervisor();
  const auto domains = hypervisor.domains();
  const auto found = domains.find(name);
  if (found == domains.end()) return std::nullopt;
  const auto folder = parts.images.vmdir() / name;
  for (const auto& file : parse_domain(hypervisor.definition(name), "the definition of VM '" + name + "'",
                                       DomainOrigin::this_host)
                              .disks) {
    if (std::filesystem::path(file.file).parent_path() == folder) continue;
    // Only the image has its own digest for a name, wherever its disks are: sardinecake keeps them elsewhere.
    if (Digest::parse(name)) {
      parts.reporter.detail("VM " + name + " is there already, its disks elsewhere: " + file.file);
      break;
    }
    throw Error(Blame::job, doing + ": there is a VM " + quote(name) + " already, on other disks (" +
                                file.file + "); choose another --name");
  }
  return found->second.uuid;
}

/// The VM's own disks libvirt gives to QEMU when it starts; what they rest on stays ours.
void let_qemu_read_backing_files(const CommandParts& parts, const UnpackedImage& unpacked,
                                 const DiskFiles& files) {
  let_qemu_use(parts, unpacked.folder, nullptr);
  const QemuAccess access(parts.hypervisor().qemu_account());
  for (const auto& [disk, file] : files) {
    for (const auto& below : file.backing) access.read(below.path);
  }
}

/// Defines the VM; what stdout gets.
std::string define(const CommandParts& parts, const StoredImage& image, const UnpackedImage& unpacked,
                   const std::string& name, TimePoint start) {
  parts.images.mark_used(image);
  if (!unpacked.was_there) {
    parts.reporter.say("Unpacked " + std::to_string(unpacked.disks.size()) + " disk file(s) to " +
                       unpacked.folder.string() + shared_note(unpacked) + parts.since(start));
  }
  auto uuid = existing(parts, "import " + quote(image.reference.text()), name);
  if (!uuid) {
    auto& hypervisor = parts.hypervisor();
    uuid = within("import " + quote(image.reference.text()), [&] {
      DiskFiles files;
      for (const auto& disk : parse_domain(image.domain_xml, "the image's domain").disks)
        files[disk.file] = file_of_image(unpacked, disk);
      auto xml = definition_of_image(parts, image.domain_xml, name, files);
      let_qemu_read_backing_files(parts, unpacked, files);
      return hypervisor.define(xml);
    });
    parts.reporter.say("Defined VM " + name);
  }
  return parts.settings.call.print_uuid ? *uuid : name;
}

bool has_its_disks(const CommandParts& parts, const std::string& name) {
  const auto domain = parse_domain(parts.hypervisor().definition(name), "the definition of VM '" + name + "'",
                                   DomainOrigin::this_host);
  return std::ranges::all_of(domain.disks, [](const DomainDisk& disk) {
    std::error_code ignored;
    return std::filesystem::exists(disk.file, ignored);
  });
}

/// Is there a VM of the name that the image would get? Asks the registry only where there is one that may be
/// it.
bool is_imported(const CommandParts& parts, const std::string& container) {
  const auto& name = parts.settings.call.name;
  if (!name.empty()) return existing(parts, "pull " + quote(container), name).has_value();
  const auto domains = parts.hypervisor().domains();
  if (std::ranges::none_of(domains,
                           [](const auto& domain) { return Digest::parse(domain.first).has_value(); }))
    return false;
  const auto announced = parts.registry.announce(source_of(parts, ImageReference::parse(container)), {});
  return domains.contains(announced.manifest.config.digest.text());
}

}  // namespace

std::string import_image(const CommandParts& parts, const std::string& container) {
  const auto& call = parts.settings.call;
  const auto start = parts.clock.now();
  const auto image =
      call.raw ? parts.images.load_folder(container) : parts.images.load(ImageReference::parse(container));
  const auto name = call.name.empty() ? image.base_name() : call.name;
  parts.images.mark_used(image);
  if (const auto uuid = existing(parts, "import " + quote(container), name);
      uuid && has_its_disks(parts, name))
    return call.print_uuid ? *uuid : name;
  const auto unpacked = parts.images.unpack(image, name, parts.progress("unpacking"));
  return define(parts, image, unpacked, name, start);
}

std::string pull_image(const CommandParts& parts, const std::string& container) {
  const auto& name = parts.settings.call.name;
  const auto start = parts.clock.now();
  if (is_imported(parts, container)) {
    static_cast<void>(fetch_image(parts, container));
    return import_image(parts, container);
  }
  const auto [image, unpacked] = fetch_and_unpack_image(parts, container, DiskSharing::one_vm);
  return define(parts, image, unpacked, name.empty() ? image.base_name() : name, start);
}

}  // namespace sarde
