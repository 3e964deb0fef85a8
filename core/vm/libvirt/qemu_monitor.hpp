#pragma once

#include <string>

#include "core/foundation/json_reading.hpp"
#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

/// Gives QEMU's monitor an order, by libvirt's connection to it, and returns what it returns. Throws Error
/// with QEMU's words if it refuses.
nlohmann::json tell_qemu(const Domain& domain, const nlohmann::json& order, const std::string& doing);

/// Gives QEMU an open file, which its monitor then knows by this name. Throws Error.
void give_qemu_file(const Domain& domain, int fd, const std::string& name, const std::string& doing);

}  // namespace sarde
