#include "executor/commands/definitions.hpp"

#include "core/foundation/text.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/job/thin_copies.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

std::string definition_of_image(const CommandTools& tools, const std::string& image_xml, NewVm vm) {
  const auto architecture = parse_domain(image_xml, "the image's domain").architecture;
  vm.virt_type = virt_type_of_host(architecture, tools.hypervisor());
  for (const auto& network : networks_of_domain(image_xml)) {
    if (tools.hypervisor().has_network(network) || !vm.unknown_networks.insert(network).second) continue;
    tools.reporter.warn("WARNING: libvirt has no network " + quote(network) +
                        " here, so the VM is put on QEMU's user-mode network ('virsh edit' changes it)");
  }
  auto built = domain_to_define(image_xml, vm);
  if (!built.left_out.empty())
    tools.reporter.detail("Left out of the image's domain: " + join(built.left_out, ", "));
  return std::move(built.xml);
}

std::filesystem::path uefi_variables_in(const std::filesystem::path& folder) {
  return folder / ".uefi-variables.fd";
}

void let_qemu_use(const CommandTools& tools, const std::filesystem::path& folder,
                  const UnpackedImage* image) {
  const QemuAccess access(tools.hypervisor().qemu_account());
  access.enter(folder.parent_path());
  access.enter(folder);
  if (image != nullptr) let_qemu_read(access, *image);
  std::error_code ignored;
  if (const auto variables = uefi_variables_in(folder); std::filesystem::exists(variables, ignored))
    access.own(variables);
}

}  // namespace sarde
