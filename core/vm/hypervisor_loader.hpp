#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/system/environment.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde {

/// Connects to libvirt at `uri` (some 20 ms the first time). The adapter is a module of its own, opened here
/// and not linked: libvirt brings 57 libraries, which would cost every call of the program their loading,
/// `config` and `run` too. The module is looked for in `folders`. Throws Error.
std::unique_ptr<Hypervisor> connect_hypervisor(const std::string& uri,
                                               const std::vector<std::filesystem::path>& folders);

/// Where the module of this program is: beside it, or where it is installed.
std::vector<std::filesystem::path> module_folders();

/// What the module exports under this name: makes a Hypervisor, which the caller owns.
using ConnectFunction = Hypervisor* (*)(const std::string& uri);
inline constexpr auto connect_function_name = "sarde_connect_libvirt";

/// Whether the URI is that of a user's own libvirt, which has no bridges.
bool is_session(const std::string& uri);

/// Whether libvirt may know a VM whose name has this beginning, from the names of the files in which QEMU's
/// driver keeps its definitions (https://libvirt.org/drvqemu.html): no libvirt has to be loaded and asked
/// for that. A VM that is not defined, but only runs, does not count. True wherever it cannot be told.
bool may_define(const std::string& uri, const std::string& beginning, const Environment& environment);

}  // namespace sarde
