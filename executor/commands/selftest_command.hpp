#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/system/environment.hpp"
#include "executor/commands/command_tools.hpp"
#include "executor/job/job_network.hpp"

namespace sarde {

struct SelftestRequest {
  std::string connect;  ///< libvirt's URI
  NetworkRules network;
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  std::filesystem::path jobsdir;
  std::filesystem::path authfile;       ///< empty: skopeo's own places
  std::filesystem::path identity_file;  ///< empty: none
  AnswerForm form = AnswerForm::text;
  const Environment& environment;  ///< of the programs that are started
};

/// What one look at the host has shown.
struct Finding {
  std::string what;
  bool is_well = true;
  std::string detail;  ///< if it is not well: also what to do
};

struct SelftestAnswer {
  std::string text;
  bool all_is_well = true;
};

/// Looks at what jobs need on this host, each thing by itself.
std::vector<Finding> look_at_host(const CommandTools& tools, const SelftestRequest& request);

/// Does the work. Its result is the detail of a finding; an Error makes the finding a failure.
template <typename Look>
Finding finding_of(const std::string& what, Look look) {
  try {
    return {.what = what, .is_well = true, .detail = look()};
  } catch (const Error& error) {
    return {.what = what, .is_well = false, .detail = error.what()};
  }
}

SelftestAnswer answer_of(const std::vector<Finding>& findings, AnswerForm form);

/// `selftest`: checks whether this host has what is needed: the programs, libvirt, and folders that are
/// writable and have free space. What QEMU needs is tried as QEMU's account; no VM is started. Also reports
/// what makes the program faster (KVM, shared extents). Each failure says what to do.
SelftestAnswer self_test(const CommandTools& tools, const SelftestRequest& request);

}  // namespace sarde
