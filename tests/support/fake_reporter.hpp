#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"

namespace sarde::testing {

class FakeReporter final : public Reporter {
 public:
  std::function<void(const std::string& call)> step = [](const std::string&) {};
  std::vector<std::string> lines;

  void say(const std::string& line) override {
    step("say");
    lines.push_back(line);
  }

  void progress(const Progress& progress) override { lines.push_back(progress.doing); }

  void detail(const std::string& line) override { lines.push_back(line); }

  void warn(const std::string& line) override { lines.push_back(line); }

  void mask(const std::string& /*secret*/) override {}
};

}  // namespace sarde::testing
