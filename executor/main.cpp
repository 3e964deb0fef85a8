#include <cstdlib>
#include <exception>
#include <iostream>
#include <signal.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/version.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/environment.hpp"
#include "executor/cli.hpp"
#include "executor/job/disk_server.hpp"
#include "executor/job/kept_door.hpp"
#include "executor/virtiofsd.hpp"
#include "executor/wiring/exit_codes.hpp"
#include "executor/wiring/terminal.hpp"
#include "executor/wiring/wiring.hpp"

namespace {

/// One line, or more, that begin with "ERROR: ".
void complain(const std::string& text, const sarde::Environment& environment) {
  std::cerr << (sarde::shows_colours(STDERR_FILENO, environment) ? sarde::coloured(text) : text)
            << std::flush;
}

/// Removes the job's variables, so that libraries and the programs that they start do not see them. libvirt's
/// daemon, for example, outlives the job.
void keep_only(const sarde::Environment& environment) {
  ::clearenv();
  for (const auto& [name, value] : environment.all()) ::setenv(name.c_str(), value.c_str(), 1);
}

}  // namespace

int main(int argc, char** argv) {
  using sarde::Blame;
  if (argc > 0 && std::string_view(argv[0]).ends_with("/sarde-virtiofsd"))
    return sarde::become_read_only_virtiofsd(argc, argv);
  ::signal(SIGPIPE, SIG_IGN);  // writing to a closed pipe then fails like any other write()
  ::umask(0077);               // where others may read something, the code that creates it says so
  if (argc == 2 && std::string_view(argv[0]) == sarde::door_keeper_name) return sarde::keep_door(argv[1]);
  if (argc == 2 && std::string_view(argv[0]) == sarde::disk_server_name) return sarde::serve_disks(argv[1]);
  const auto environment = sarde::Environment::from(environ);
  keep_only(environment.for_helpers());
  const auto fail = [&](const std::string& what) {
    complain("ERROR: " + sarde::printable_line(what) + "\n", environment);
  };
  const sarde::ExitCodes exit_codes(sarde::runner_exits_in(environment));
  try {
    const auto parsed = sarde::parse_command_line(argc, argv);
    if (!parsed.invocation) {
      if (!parsed.answer.is_complaint) {
        std::cout << parsed.answer.text;
        return 0;
      }
      complain(parsed.answer.text, environment);
      return exit_codes.of(Blame::job);
    }
    auto cancellation = sarde::Cancellation::on_signals();
    return sarde::run_invocation(*parsed.invocation, environment, cancellation, exit_codes);
  } catch (const sarde::Error& error) {
    fail(error.what());
    return exit_codes.of(error.blame());
  } catch (const sarde::Cancelled& cancelled) {
    fail(cancelled.what());
    return exit_codes.of(cancelled);
  } catch (const std::exception& error) {
    fail(std::string("unexpected error: ") + error.what() + " (please report this, with the lines above)");
    return exit_codes.of(Blame::host);
  }
}
