#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/guest/ssh_guest_shell.hpp"

namespace sarde::testing {

/// A guest that can be reached: what it answers to a connection, and to a script.
struct FakeGuest {
  std::function<void(const std::string& call)> step = [](const std::string&) {};
  std::function<std::optional<ConnectProblem>()> refuses = [] { return std::nullopt; };
  std::function<ScriptOutcome(const GuestScript&)> runs = [](const GuestScript&) { return ScriptExited{0}; };

  ConnectResult connect(const SshTarget& /*target*/) {
    step("connect");
    if (auto problem = refuses()) return *problem;
    return std::make_unique<Shell>(*this);
  }

 private:
  class Shell final : public GuestShell {
   public:
    explicit Shell(FakeGuest& guest) : guest_(guest) {}

    ScriptOutcome run_script(const GuestScript& script, Cancellation& /*cancellation*/) override {
      guest_.step("run_script");
      return guest_.runs(script);
    }

    bool rest(std::chrono::milliseconds /*longest*/, int /*wake_fd*/) override { return true; }

    [[nodiscard]] std::string host_key() const override { return "ssh-ed25519 AAAA"; }

   private:
    FakeGuest& guest_;
  };
};

}  // namespace sarde::testing
