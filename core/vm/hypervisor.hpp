#pragma once

#include <functional>

#include "core/vm/inventory.hpp"
#include "core/vm/machines.hpp"
#include "core/vm/vm_host.hpp"
#include "core/vm/vm_networks.hpp"

namespace sarde {

/// One libvirt connection, as the module that has it offers it.
class Hypervisor : public Machines, public VmNetworks, public Inventory, public VmHost {};

}  // namespace sarde
