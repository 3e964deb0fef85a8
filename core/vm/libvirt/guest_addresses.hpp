#pragma once

#include <string>
#include <vector>

#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

/// What VmNetworks::addresses() gives for this domain.
std::vector<std::string> guest_addresses(const Domain& domain, const std::string& name);

}  // namespace sarde
