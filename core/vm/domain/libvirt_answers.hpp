#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/vm/domain/job_domain.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde {

// What libvirt and QEMU answer, read.

/// The port of 127.0.0.1 that QEMU's `info usernet` shows as forwarded to `guest_port`.
std::optional<std::uint16_t> port_in_usernet(std::string_view answer, std::uint16_t guest_port);

/// How QEMU's `info network` shows a `-netdev stream` of this name: `unix:PATH` once it is connected, words
/// with "error" in them if that has failed, and nothing until then.
std::string stream_in_network(std::string_view answer, std::string_view name);

/// Bytes on this host's disk of the files that QEMU's `query-named-block-nodes` shows as written to; nothing
/// if it is no such answer.
std::optional<std::uint64_t> written_in_block_nodes(std::string_view answer);

/// The account of libvirt's DAC driver (formatcaps.html, secmodel); nothing if it has none, as in a session.
std::optional<QemuAccount> account_in_capabilities(std::string_view xml);

/// The path of QEMU in a domain's capabilities (formatdomaincaps.html); empty if there is none.
std::string emulator_in_capabilities(std::string_view xml);

/// What to install where libvirt's message about a VM that it could not start means that this host lacks
/// something that the VM needs; empty if it means something else.
std::string missing_on_host(std::string_view libvirt_message);

/// Does a network's definition (formatnetwork.html) have a DHCP server for IPv4?
bool has_ipv4_dhcp(std::string_view network_xml);

/// What the metadata element of a job's domain says; its name and UUID are for the caller to add.
JobDomain job_in_metadata(std::string_view element);

/// `auto` in the settings: KVM if libvirt offers it for the architecture and, on x86, the processor has vmx
/// or svm (a /dev/kvm without them is an emulation in which guests hang). `cpuinfo` is /proc/cpuinfo's text.
VirtType usable_virt_type(bool kvm_offered, const std::string& architecture, std::string_view cpuinfo);

}  // namespace sarde
