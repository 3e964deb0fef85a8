#include "executor/job/uefi_copy.hpp"

#include "core/foundation/text.hpp"
#include "core/image/layout/uefi_variables.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/firmware_files.hpp"

namespace sarde {

bool copy_uefi_variables(const StoredImage& image, const std::filesystem::path& file, Reporter& reporter) {
  if (image.uefi_variables.empty()) return false;
  const auto domain = read_image_domain(image.domain_xml);
  if (!domain.firmware.is_uefi) return false;
  const auto bytes = unpack_uefi_variables(image.layout.read_blob(image.uefi_variables.front()));
  const auto of_host = size_of_uefi_variables({.architecture = domain.architecture,
                                               .machine = domain.machine,
                                               .secure_boot = domain.firmware.secure_boot,
                                               .enrolled_keys = domain.firmware.enrolled_keys},
                                              firmware_folders());
  if (of_host && *of_host != bytes.size()) {
    reporter.warn("WARNING: the image's UEFI variables (" + size_text(bytes.size()) +
                  ") are for another build of the firmware than this host's (" + size_text(*of_host) +
                  "), so the VM boots without them: only \\EFI\\BOOT on its disk is found");
    return false;
  }
  write_file(file, bytes, 0600);
  return true;
}

}  // namespace sarde
