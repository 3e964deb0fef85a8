#include "core/system/virtiofsd_place.hpp"

#include <unistd.h>

namespace sarde {

std::string virtiofsd_place() {
  for (const auto* place : {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"})
    if (::access(place, X_OK) == 0) return place;
  return "";
}

}  // namespace sarde
