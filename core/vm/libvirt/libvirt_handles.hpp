#pragma once

#include <cstdlib>

#include <libvirt/libvirt.h>

#include "core/foundation/c_handle.hpp"

namespace sarde {

using Connection = CHandle<virConnect, virConnectClose>;
using Domain = CHandle<virDomain, virDomainFree>;
using Pool = CHandle<virStoragePool, virStoragePoolFree>;
using Volume = CHandle<virStorageVol, virStorageVolFree>;
using Network = CHandle<virNetwork, virNetworkFree>;
using Filter = CHandle<virNWFilter, virNWFilterFree>;
using Snapshot = CHandle<virDomainSnapshot, virDomainSnapshotFree>;
using CText = CHandle<char, free>;

}  // namespace sarde
