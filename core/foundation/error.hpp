#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace sarde {

/// Whether the job or the host is at fault for a failure. This determines what gitlab-runner does next: a
/// failure caused by the job ends the job at once, and a failure caused by the host makes the runner try
/// again.
enum class Blame { job, host };

/// Any failure that is not an expected result. The message says what was being done, to what, why it failed
/// and, if the job is to blame, what to change. It is one or more sentences without a final full stop, and is
/// suitable for a job log.
class Error : public std::runtime_error {
 public:
  Error(Blame blame, const std::string& message) : std::runtime_error(message), blame_(blame) {}

  explicit Error(const std::string& message) : Error(Blame::host, message) {}

  [[nodiscard]] Blame blame() const noexcept { return blame_; }

 private:
  Blame blame_;
};

/// The work was ended by a signal. Nobody is at fault, so this is not an Error, and code that handles Errors
/// lets it pass.
class Cancelled : public std::runtime_error {
 public:
  /// `signal`: the number of the signal; 0 if there was none.
  explicit Cancelled(const std::string& message, int signal = 0)
      : std::runtime_error(message), signal_(signal) {}

  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  int signal_;
};

/// Runs `work`. If `work` throws an Error, its message is prefixed with "`context`: ", and its blame is kept.
template <typename Work>
auto within(const std::string& context, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    throw Error(error.blame(), context + ": " + error.what());
  }
}

}  // namespace sarde
