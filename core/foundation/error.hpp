#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace sarde {

/// Whose fault a failure is. It decides what gitlab-runner does next: a failure of the job ends it at once, a
/// failure of the host makes the runner try again.
enum class Blame { job, host };

/// Every failure that is not an expected answer. The message says what was being done, to what, why it failed
/// and, where the job is to blame, what to change. It is one sentence or a few, without a full stop, fit for
/// a job log.
class Error : public std::runtime_error {
 public:
  Error(Blame blame, const std::string& message) : std::runtime_error(message), blame_(blame) {}

  explicit Error(const std::string& message) : Error(Blame::host, message) {}

  [[nodiscard]] Blame blame() const noexcept { return blame_; }

 private:
  Blame blame_;
};

/// The work was ended by a signal: nobody's fault, so it is no Error, and whoever handles those lets it pass.
class Cancelled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs `work`; an Error that leaves it gets "`context`: " in front and keeps its blame.
template <typename Work>
auto within(const std::string& context, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    throw Error(error.blame(), context + ": " + error.what());
  }
}

}  // namespace sarde
