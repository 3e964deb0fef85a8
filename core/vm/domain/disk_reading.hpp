#pragma once

#include <string>
#include <vector>

#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

/// The disks and CD drives of a domain that are files of this machine or of the image.
std::vector<pugi::xml_node> file_disks(const pugi::xml_node& domain);

/// Reads the disks of an image's domain: with buses that the machine has, targets and boot order counted
/// anew. Throws Error (the job's fault) if there are too many, two have one file or one target, or the boot
/// order makes no sense.
std::vector<ImageDisk> read_image_disks(const pugi::xml_node& domain, const MachineKind& machine);

/// The models of an image's SCSI controllers, in their order. Throws Error (the job's fault) for too many.
std::vector<std::string> read_scsi_controllers(const pugi::xml_node& domain);

}  // namespace sarde
