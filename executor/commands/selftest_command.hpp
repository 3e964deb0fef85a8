#pragma once

#include <filesystem>
#include <string>

#include "core/system/environment.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

struct SelftestRequest {
  std::string connect;  ///< libvirt's URI
  std::string network;  ///< the setting; empty: not set
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  std::filesystem::path jobsdir;
  std::filesystem::path authfile;       ///< empty: skopeo's own places
  std::filesystem::path identity_file;  ///< empty: none
  AnswerForm form = AnswerForm::text;
  const Environment& environment;  ///< of the programs that are started
};

struct SelftestAnswer {
  std::string text;
  bool all_is_well = true;
};

/// `selftest`: checks whether this host has what is needed: the programs, libvirt, and folders that are
/// writable and have free space. What QEMU needs is tried as QEMU's account; no VM is started. Also reports
/// what makes the program faster (KVM, shared extents). Each failure says what to do.
SelftestAnswer self_test(const CommandTools& tools, const SelftestRequest& request);

}  // namespace sarde
