#pragma once

#include "config/values.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

class Wiring;

// Each of these functions runs one stage with the option values. They return the exit code and throw Error,
// Cancelled.
int run_config(Wiring& wiring);
int run_prepare(Wiring& wiring);
int run_script(Wiring& wiring);
int run_cleanup(Wiring& wiring);

/// The parts of a login that the values contain.
PartialLogin partial_login(const Values& values);

}  // namespace sarde
