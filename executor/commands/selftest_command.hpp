#pragma once

#include <filesystem>
#include <string>

#include "core/system/environment.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

struct SelftestRequest {
  std::string connect;  ///< libvirt's URI
  std::string network;  ///< as the setting has it; empty: not set
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  std::filesystem::path jobsdir;
  AnswerForm form = AnswerForm::text;
  const Environment& environment;  ///< of the programs that are tried
};

struct SelftestAnswer {
  std::string text;
  bool all_is_well = true;
};

/// `selftest`: whether this machine has what is needed: the programs, libvirt, folders that can be written
/// to, room in them; and what makes work slower without (KVM, shared extents). Says a line at each verbosity,
/// as sardinecake does.
SelftestAnswer self_test(const CommandTools& tools, const SelftestRequest& request);

}  // namespace sarde
