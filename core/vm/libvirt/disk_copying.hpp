#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/vm/inventory.hpp"
#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

/// What Inventory::copy_disks() does, for this domain.
GuestFileSystems copy_disks_of(const Domain& domain, const std::string& name,
                               const std::vector<DiskCopy>& copies,
                               const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace sarde
