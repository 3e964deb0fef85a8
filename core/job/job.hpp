#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/foundation/secret.hpp"

namespace sarde {

/// Credentials for whatever the key names: a registry (host[:port]), or a path at a registry
/// (containers-auth.json(5)).
struct RegistryLogin {
  std::string key;
  Secret auth;  ///< base64 of user:password
};

/// A CI job, read from a source that its author cannot forge: JOB_RESPONSE_FILE.
struct Job {
  std::string id;           ///< a decimal number
  std::string distinction;  ///< distinguishes jobs with the same id; only its hash is used
  std::string image;        ///< as given in the job, expanded; empty if the job names none
  std::vector<std::string> pull_policies;
  std::vector<RegistryLogin> logins;                 ///< credentials that the runner gives every job
  Secret docker_auth_config = {};                    ///< the text of DOCKER_AUTH_CONFIG; empty: none
  std::map<std::string, std::string> settings = {};  ///< the author's variables SARDE_<OPTION>
  std::string project;                               ///< for display
  std::string name = {};                             ///< the job's, for display
  std::chrono::seconds timeout{3600};
  std::string project_key = {};  ///< a file name for what belongs to the project alone; empty: it has none
  bool has_services = false;
  /// The job's variables that say what it is and are no secrets: CI_… and GITLAB_…, public, not masked, no
  /// files.
  std::vector<std::pair<std::string, std::string>> public_variables = {};
};

}  // namespace sarde
