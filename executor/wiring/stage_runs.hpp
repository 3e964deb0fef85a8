#pragma once

#include "config/values.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

class Wiring;

// Each of these functions runs one stage with the option values. They return the exit code and throw Error,
// Cancelled.
int run_config(Wiring& wiring);
int run_prepare(Wiring& wiring);

/// The jobs that run at once on this host: the setting, or what gitlab-runner's config.toml says.
unsigned concurrency(const Wiring& wiring);
int run_script(Wiring& wiring);
int run_cleanup(Wiring& wiring);

/// `try`: prepare, run and cleanup in one, for people.
int run_try(Wiring& wiring);
int run_warm(Wiring& wiring);

/// The parts of a login that the values contain.
PartialLogin partial_login(const Values& values);

}  // namespace sarde
