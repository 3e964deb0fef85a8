#include "executor/commands/import_command.hpp"

#include <algorithm>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/commands/definitions.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/job/image_notes.hpp"
#include "executor/job/thin_copies.hpp"
#include "executor/job/uefi_copy.hpp"

namespace sarde {

namespace {

/// The UUID of a VM of that name, if it already exists and was made from the image. Throws Error if it was
/// not, because it could be started by mistake in place of the image's VM.
std::optional<std::string> existing(const CommandTools& tools, const std::string& doing,
                                    const std::string& name) {
  auto& hypervisor = tools.hypervisor();
  const auto domains = hypervisor.domains();
  const auto found = domains.find(name);
  if (found == domains.end()) return std::nullopt;
  const auto folder = tools.images.unpacked.folder() / name;
  for (const auto& file : parse_domain(hypervisor.definition(name), "the definition of VM '" + name + "'",
                                       DomainOrigin::this_host)
                              .disks) {
    if (std::filesystem::path(file.file).parent_path() == folder) continue;
    // Only the image's own VM is named after its digest, wherever its disks are. sardinecake keeps them
    // elsewhere.
    if (Digest::parse(name)) {
      tools.reporter.detail("VM " + name + " already exists, with its disks in another place: " + file.file);
      break;
    }
    throw Error(Blame::job, doing + ": a VM called " + quote(name) + " already exists and has other disks (" +
                                file.file + "); choose another name with --name");
  }
  return found->second.uuid;
}

/// When a VM starts, libvirt gives its own disks to QEMU's account. Their backing files keep their owner.
void let_qemu_read_backing_files(const CommandTools& tools, const UnpackedImage& unpacked,
                                 const DiskFiles& files) {
  let_qemu_use(tools, unpacked.folder, nullptr);
  const QemuAccess access(tools.hypervisor().qemu_account());
  for (const auto& [disk, file] : files) {
    for (const auto& below : file.backing) access.read(below.path);
  }
}

/// Defines the VM, unless it is there.
DefinedVm define(const CommandTools& tools, const StoredImage& image, const UnpackedImage& unpacked,
                 const std::string& name, const Phase& phase) {
  tools.images.catalogue.mark_used(image);
  note_skipped_layers(image, tools.reporter);
  if (!unpacked.was_there) {
    phase.done("Unpacked " + std::to_string(unpacked.disks.size()) + " disk file(s) to " +
               unpacked.folder.string() + reuse_note(unpacked));
  }
  auto uuid = existing(tools, "import " + quote(image.reference.text()), name);
  if (!uuid) {
    auto& hypervisor = tools.hypervisor();
    uuid = within("import " + quote(image.reference.text()), [&] {
      DiskFiles files;
      for (const auto& disk : parse_domain(image.domain_xml, "the image's domain").disks)
        files[disk.file] = file_of_image(unpacked, disk);
      const auto variables = uefi_variables_in(unpacked.folder);
      const bool has_variables = copy_uefi_variables(image, variables, tools.reporter);
      auto xml = definition_of_image(
          tools, image.domain_xml,
          {.name = name, .files = files, .nvram = has_variables ? variables : std::filesystem::path()});
      let_qemu_read_backing_files(tools, unpacked, files);
      return hypervisor.define(xml);
    });
    tools.reporter.say("Defined VM " + name);
  }
  return {.name = name, .uuid = *uuid};
}

bool has_its_disks(const CommandTools& tools, const std::string& name) {
  const auto domain = parse_domain(tools.hypervisor().definition(name), "the definition of VM '" + name + "'",
                                   DomainOrigin::this_host);
  return std::ranges::all_of(domain.disks, [](const DomainDisk& disk) {
    std::error_code ignored;
    return std::filesystem::exists(disk.file, ignored);
  });
}

/// Is there already a VM with the name that the image would get? Asks the registry only if some VM could be
/// the one.
bool is_imported(const CommandTools& tools, const PullRequest& request) {
  const auto& [fetch, name] = request;
  if (!name.empty()) return existing(tools, "pull " + quote(fetch.container), name).has_value();
  const auto domains = tools.hypervisor().domains();
  if (std::ranges::none_of(domains,
                           [](const auto& domain) { return Digest::parse(domain.first).has_value(); }))
    return false;
  const auto announced = tools.registry.announce(source_of(fetch), {});
  return domains.contains(announced.manifest.config.digest.text());
}

}  // namespace

DefinedVm import_image(const CommandTools& tools, const ImportRequest& request) {
  const auto& container = request.container;
  const Phase phase(tools.clock, tools.reporter);
  const auto image = request.raw ? tools.images.catalogue.load_folder(container)
                                 : tools.images.catalogue.load(ImageReference::parse(container));
  const auto name = request.name.empty() ? image.base_name() : request.name;
  tools.images.catalogue.mark_used(image);
  if (const auto uuid = existing(tools, "import " + quote(container), name);
      uuid && has_its_disks(tools, name))
    return {.name = name, .uuid = *uuid};
  const auto unpacked =
      request.raw ? tools.images.unpacked.unpack(image, name, progress_of(tools.reporter, "unpacking"))
                  : unpack_cached_image(tools, image, DiskSharing::one_vm, name);
  return define(tools, image, unpacked, name, phase);
}

DefinedVm pull_image(const CommandTools& tools, const PullRequest& request) {
  const auto& [fetch, name] = request;
  const Phase phase(tools.clock, tools.reporter);
  if (is_imported(tools, request)) {
    static_cast<void>(fetch_image(tools, fetch));
    return import_image(tools, {.container = fetch.container, .name = name});
  }
  const auto [image, unpacked] = fetch_and_unpack_image(tools, fetch, DiskSharing::one_vm, name);
  return define(tools, image, unpacked, name.empty() ? image.base_name() : name, phase);
}

}  // namespace sarde
