#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/secret.hpp"

namespace sarde {

struct RegistryLogin {
  std::string registry;  ///< host[:port], as the job's credentials have it
  std::string username;
  Secret password;
};

/// A CI job, from what its author cannot forge: JOB_RESPONSE_FILE.
struct Job {
  std::string id;           ///< a decimal number
  std::string distinction;  ///< tells jobs of one id apart: only ever hashed
  std::string image;        ///< as the job has it, expanded; empty if it names none
  std::vector<std::string> pull_policies;
  std::vector<RegistryLogin> logins;
  std::string project;  ///< for people
  std::string name;     ///< for people
  std::chrono::seconds timeout{3600};
  bool has_services = false;
};

}  // namespace sarde
