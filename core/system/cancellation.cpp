#include "core/system/cancellation.hpp"

#include <cerrno>
#include <cstring>
#include <signal.h>
#include <string>
#include <sys/signalfd.h>

#include "core/foundation/error.hpp"

namespace sarde {

Cancellation Cancellation::on_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  Cancellation cancellation;
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0) {
    cancellation.signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  if (!cancellation.signals_) throw Error("listen for signals: error " + std::to_string(errno));
  return cancellation;
}

int Cancellation::requested() {
  signalfd_siginfo info{};
  if (*came_ == 0 && signals_ && ::read(signals_.get(), &info, sizeof info) == sizeof info) {
    *came_ = static_cast<int>(info.ssi_signo);
  }
  return *came_;
}

void Cancellation::check() {
  const int signal = requested();
  if (signal != 0) throw Cancelled(std::string("stopped by SIG") + ::sigabbrev_np(signal), signal);
}

}  // namespace sarde
