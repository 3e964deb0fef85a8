#pragma once

namespace sarde {

class Wiring;

// Each of these functions runs one command with the option values. They return the exit code and throw Error,
// Cancelled.
int run_list(Wiring& wiring);
int run_inspect(Wiring& wiring);
int run_getconfig(Wiring& wiring);
int run_fetch(Wiring& wiring);
int run_push(Wiring& wiring);
int run_export(Wiring& wiring);
int run_rm(Wiring& wiring);
int run_prune(Wiring& wiring);
int run_import(Wiring& wiring);
int run_pull(Wiring& wiring);
int run_clone(Wiring& wiring);
int run_login(Wiring& wiring);
int run_logout(Wiring& wiring);
int run_gc(Wiring& wiring);
int run_jobs(Wiring& wiring);
int run_ssh(Wiring& wiring);
int run_console(Wiring& wiring);
int run_logs(Wiring& wiring);
int run_settings(Wiring& wiring);
int run_verify(Wiring& wiring);
int run_selftest(Wiring& wiring);
int run_doctor(Wiring& wiring);

}  // namespace sarde
