#pragma once

#include <string>

namespace sarde {

/// Where this machine has virtiofsd: Debian's part of QEMU, or the program of its own. Empty if it has none.
std::string virtiofsd_place();

}  // namespace sarde
