#include "executor/commands/definitions.hpp"

#include "core/foundation/text.hpp"
#include "core/vm/domain/definition.hpp"
#include "executor/job/thin_copies.hpp"

namespace sarde {

std::string definition_of_image(const CommandTools& tools, const std::string& image_xml,
                                const std::string& name, const DiskFiles& files) {
  auto built = domain_to_define(image_xml, name, files);
  if (!built.left_out.empty())
    tools.reporter.detail("Left out of the image's domain: " + join(built.left_out, ", "));
  return std::move(built.xml);
}

void let_qemu_use(const CommandTools& tools, const std::filesystem::path& folder,
                  const UnpackedImage* image) {
  const QemuAccess access(tools.hypervisor().qemu_account());
  access.enter(folder.parent_path());
  access.enter(folder);
  if (image != nullptr) let_qemu_read(access, *image);
}

}  // namespace sarde
