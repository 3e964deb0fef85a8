#pragma once

#include "config/values.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

class Wiring;

// Each turns option values into what one stage takes, and runs it. Returns the exit code; throws Error,
// Cancelled.
int run_config(Wiring& wiring);
int run_prepare(Wiring& wiring);
int run_script(Wiring& wiring);
int run_cleanup(Wiring& wiring);

/// The login that values give, as far as they do.
PartialLogin partial_login(const Values& values);

}  // namespace sarde
