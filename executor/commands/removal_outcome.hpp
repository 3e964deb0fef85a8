#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/image/store/image_removal.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// How `rm` and `prune` should remove images.
struct RemovalRequest {
  Removal removal = Removal::real;
  AnswerForm form = AnswerForm::text;
  std::vector<std::filesystem::path> jobsdirs = {};  ///< where jobs' folders may be
  std::chrono::milliseconds lock_timeout{};  ///< how long to wait for an index that another process is using
};

/// What one call removed, or would remove.
class RemovalOutcome {
 public:
  RemovalOutcome(Reporter& reporter, const RemovalRequest& request)
      : reporter_(reporter), request_(request) {}

  [[nodiscard]] Removal removal() const { return request_.removal; }

  void name(const std::string& name) { names_.push_back(name); }

  void count(const RemovedFiles& removed) {
    removed_.files += removed.files;
    removed_.bytes += removed.bytes;
  }

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

  [[nodiscard]] std::uint64_t bytes() const { return removed_.bytes; }

  /// Reports what was removed, and returns the text for stdout.
  [[nodiscard]] std::string finish() const;

 private:
  Reporter& reporter_;
  const RemovalRequest& request_;
  std::vector<std::string> names_;
  RemovedFiles removed_;
};

/// How to wait for an index that another process is using.
FileLock::Waiting waiting(const CommandTools& tools, const RemovalRequest& request);

/// Prints a warning for each item that cannot be read.
std::function<void(const std::string&)> complaint(const CommandTools& tools);

}  // namespace sarde
