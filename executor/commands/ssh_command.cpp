#include "executor/commands/ssh_command.hpp"

#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/system/foreground.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace {

namespace fs = std::filesystem;

void add_option(std::vector<std::string>& argv, const std::string& option) {
  argv.insert(argv.end(), {"-o", option});
}

/// Options for guests that know nothing newer (ssh-algorithms).
void allow_old_algorithms(std::vector<std::string>& argv) {
  for (const auto* option : {"HostKeyAlgorithms=+ssh-rsa", "PubkeyAcceptedAlgorithms=+ssh-rsa",
                             "KexAlgorithms=+diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1",
                             "Ciphers=+aes128-cbc,aes192-cbc,aes256-cbc", "MACs=+hmac-sha1"})
    add_option(argv, option);
}

/// How the client is to prove who it is. The password reaches it through a program that prints it, so it is
/// in no command line and no variable.
void add_login(std::vector<std::string>& argv, const JobRecord& record, const fs::path& folder,
               std::vector<std::pair<std::string, std::string>>& environment) {
  const bool has_key = !record.identity_file.empty();
  if (has_key) argv.insert(argv.end(), {"-i", record.identity_file});
  if (!has_key) add_option(argv, record.use_agent ? "IdentityFile=none" : "PubkeyAuthentication=no");
  if (!record.use_agent) add_option(argv, "IdentitiesOnly=yes");
  write_file(folder / "password", record.password.reveal(), 0600);
  write_file(folder / "askpass", "#!/bin/sh\nexec cat " + shell_quoted((folder / "password").string()) + "\n",
             0700);
  add_option(argv, "NumberOfPasswordPrompts=1");
  std::erase_if(environment, [](const auto& variable) { return variable.first.starts_with("SSH_ASKPASS"); });
  environment.emplace_back("SSH_ASKPASS", (folder / "askpass").string());
  environment.emplace_back("SSH_ASKPASS_REQUIRE", "force");
}

}  // namespace

int log_into_job(const KnownJob& job, const SshRequest& request) {
  const auto record = job.folder.read();
  if (!record)
    throw Error(Blame::job, "job " + job.vm + " has no VM that one can log into: it is still being prepared");
  const auto folder = TempFolder::in(job.folder.path().parent_path(), ".sarde-ssh-", 0700);
  const auto known = folder.path() / "known_hosts";
  write_file(known, job.vm + " " + record->host_key + "\n", 0600);
  std::vector<std::string> argv{"ssh", "-F", "none"};
  for (const auto& option : {"UserKnownHostsFile=" + known.string(), std::string("GlobalKnownHostsFile=none"),
                             "HostKeyAlias=" + job.vm, std::string("StrictHostKeyChecking=yes"),
                             std::string("UpdateHostKeys=no"), std::string("LogLevel=ERROR")})
    add_option(argv, option);
  if (record->legacy_ssh) allow_old_algorithms(argv);
  auto environment = request.environment;
  add_login(argv, *record, folder.path(), environment);
  if (!request.command.empty() && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1)
    argv.emplace_back("-t");
  argv.insert(argv.end(),
              {"-p", std::to_string(record->port), "-l", record->username, "--", record->address});
  if (request.command.size() == 1) {
    argv.push_back(request.command.front());
  } else {
    for (const auto& word : request.command) argv.push_back(shell_quoted(word));
  }
  return run_in_foreground(argv, environment);
}

}  // namespace sarde
