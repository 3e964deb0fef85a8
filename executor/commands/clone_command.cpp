#include "executor/commands/clone_command.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_chain.hpp"
#include "core/image/disk/disk_overlay.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"
#include "core/vm/domain/definition.hpp"
#include "executor/commands/definitions.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/job/thin_copies.hpp"
#include "executor/job/uefi_copy.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

struct Copies {
  std::string xml;
  DiskFiles files;  ///< by the disk's file in the XML
  bool has_uefi_variables = false;
  std::optional<UnpackedImage> image = {};  ///< whose disks these are copies of
};

ObtainedImage obtain(const CommandTools& tools, const CloneRequest& request) {
  const auto& source = request.source;
  const auto reference = ImageReference::parse(source);
  if (!tools.images.catalogue.has(reference)) {
    tools.reporter.say("Neither a VM nor a cached image is called " + quote(source) + "; fetching " +
                       reference.text());
    return fetch_and_unpack_image(tools, {.container = source, .keep_blobs = request.keep_blobs},
                                  DiskSharing::many);
  }
  auto image = tools.images.catalogue.load(reference);
  tools.images.catalogue.mark_used(image);
  auto unpacked = unpack_cached_image(tools, image, DiskSharing::many);
  return {.image = std::move(image), .unpacked = std::move(unpacked)};
}

Copies copies_of_image(const CommandTools& tools, const CloneRequest& request, const fs::path& folder) {
  const auto [image, unpacked] = obtain(tools, request);
  const auto domain = parse_domain(image.domain_xml, "the image's domain");
  auto files =
      make_thin_copies(domain, unpacked, {.path = [&](const std::string& disk) { return folder / disk; }});
  return {.xml = image.domain_xml,
          .files = std::move(files),
          .has_uefi_variables = copy_uefi_variables(image, uefi_variables_in(folder), tools.reporter),
          .image = unpacked};
}

/// The file and everything that it is based on. The copy only reads these files.
std::vector<BackingFile> backing_of(const fs::path& file, const std::string& format) {
  std::vector<BackingFile> chain;
  for (const auto& one : image_files({{.path = file, .format = format}}))
    chain.insert(chain.begin(), {.path = one.path, .format = one.format});
  return chain;
}

Copies copies_of_vm(const CommandTools& tools, const std::string& source, const fs::path& folder) {
  auto& hypervisor = tools.hypervisor();
  if (hypervisor.state(source) == DomainState::running)
    throw Error(
        Blame::job,
        "clone VM " + quote(source) +
            ": it is running, and a thin copy needs a disk that does not change; shut the VM down first");
  Copies copies{.xml = hypervisor.definition(source), .files = {}};
  const auto domain =
      parse_domain(copies.xml, "the definition of VM '" + source + "'", DomainOrigin::this_host);
  std::error_code failed;
  const auto status = fs::status(domain.uefi_variables, failed);
  if (!domain.uefi_variables.empty() && status.type() != fs::file_type::not_found) {
    write_file(uefi_variables_in(folder),
               within("clone VM " + quote(source) + ": its UEFI variables",
                      [&] { return read_file(domain.uefi_variables); }),
               0600);
    copies.has_uefi_variables = true;
  }
  for (const auto& disk : domain.disks) {
    const fs::path base = disk.file;
    if (disk.read_only || disk.device == "cdrom") {
      copies.files[disk.file] = {.path = base,
                                 .format = disk.format.empty() ? "raw" : disk.format,
                                 .backing = {},
                                 .ownership = DiskOwnership::shared};
      continue;
    }
    if (disk.format != "qcow2" && disk.format != "raw")
      throw Error(Blame::job, "clone VM " + quote(source) + ": " + base.string() + " has the format " +
                                  quote(disk.format) + "; qcow2 and raw are supported");
    // Two disks in different folders may have the same name. The target's device name tells them apart.
    if (!is_bare_file_name(disk.target))
      throw Error(Blame::job, "clone VM " + quote(source) + ": the target " + quote(disk.target) +
                                  " of one of its disks is not a device name");
    const auto copy = folder / (disk.target + "-" + base.filename().string());
    create_overlay({.base = base, .base_format = disk.format, .overlay = copy});
    copies.files[disk.file] = {.path = copy, .format = "qcow2", .backing = backing_of(base, disk.format)};
  }
  if (copies.files.empty())
    throw Error(Blame::job, "clone VM " + quote(source) + ": none of its disks is a file");
  tools.reporter.warn("WARNING: the clone reads from the disks of VM " + quote(source) +
                      "; do not start that VM again as long as the clone exists");
  return copies;
}

}  // namespace

DefinedVm clone_vm(const CommandTools& tools, const CloneRequest& request) {
  const auto& source = request.source;
  const auto& target = request.target;
  const Phase phase(tools.clock, tools.reporter);
  if (!is_bare_file_name(target))
    throw Error(Blame::job, "clone: " + quote(target) + " is not a valid name for a VM");
  auto& hypervisor = tools.hypervisor();
  const auto domains = hypervisor.domains();
  if (domains.contains(target))
    throw Error(Blame::job, "clone: a VM called " + quote(target) + " already exists");
  const auto& vmdir = tools.images.unpacked.folder();
  const auto folder = vmdir / target;
  std::error_code ignored;
  if (fs::exists(folder, ignored))
    throw Error(Blame::job,
                "clone: " + folder.string() + " already exists; remove it, or choose another name");
  make_folders(vmdir, 0700);
  auto incoming = TempFolder::in(vmdir, ".incoming-", 0700);
  auto copies = domains.contains(source) ? copies_of_vm(tools, source, incoming.path())
                                         : copies_of_image(tools, request, incoming.path());
  for (auto& [disk, file] : copies.files) {
    if (file.path.parent_path() == incoming.path()) file.path = folder / file.path.filename();
  }
  const NewVm vm{.name = target,
                 .files = copies.files,
                 .nvram = copies.has_uefi_variables ? uefi_variables_in(folder) : fs::path()};
  const auto xml = copies.image ? definition_of_image(tools, copies.xml, vm) : domain_of_copy(copies.xml, vm);
  incoming.rename_to(folder);
  try {
    let_qemu_use(tools, folder, copies.image ? &*copies.image : nullptr);
    auto uuid = within("clone " + quote(source), [&] { return hypervisor.define(xml); });
    phase.done("Defined VM " + target + ", whose disks in " + folder.string() + " are thin copies");
    return {.name = target, .uuid = std::move(uuid)};
  } catch (...) {
    remove_if_there(folder);
    throw;
  }
}

}  // namespace sarde
