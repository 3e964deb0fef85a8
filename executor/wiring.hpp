#pragma once

#include "core/system/cancellation.hpp"
#include "core/system/environment.hpp"
#include "executor/cli.hpp"
#include "executor/exit_codes.hpp"

namespace sarde {

/// Puts the real parts together for one call of the program and runs it. Returns the exit code of a call that
/// ended as it may end; throws Error, Cancelled.
int run_invocation(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
                   const ExitCodes& exit_codes);

}  // namespace sarde
