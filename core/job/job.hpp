#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/secret.hpp"

namespace sarde {

/// Credentials for what a key names: a registry (host[:port]), or a path at one (containers-auth.json(5)).
struct RegistryLogin {
  std::string key;
  Secret auth;  ///< base64 of user:password
};

/// A CI job, from what its author cannot forge: JOB_RESPONSE_FILE.
struct Job {
  std::string id;           ///< a decimal number
  std::string distinction;  ///< tells jobs of one id apart: only ever hashed
  std::string image;        ///< as the job has it, expanded; empty if it names none
  std::vector<std::string> pull_policies;
  std::vector<RegistryLogin> logins;                 ///< what the runner gives every job
  Secret docker_auth_config = {};                    ///< DOCKER_AUTH_CONFIG's text; empty: none
  std::map<std::string, std::string> settings = {};  ///< variables SARDE_<OPTION>: what its author wishes
  std::string project;                               ///< for people
  std::string name;                                  ///< for people
  std::chrono::seconds timeout{3600};
  bool has_services = false;
};

}  // namespace sarde
