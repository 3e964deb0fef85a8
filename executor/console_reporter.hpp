#pragma once

#include <string>
#include <vector>

#include "executor/stages/reporter.hpp"

namespace sarde {

/// Writes lines to a descriptor, masks secrets. Verbosity: 0 warnings only, 1 steps too, 2 details too.
class ConsoleReporter final : public Reporter {
 public:
  ConsoleReporter(int fd, unsigned verbosity) : fd_(fd), verbosity_(verbosity) {}

  void say(const std::string& line) override;
  void detail(const std::string& line) override;
  void warn(const std::string& line) override;
  void mask(const std::string& secret) override;

 private:
  void write(std::string line) const;

  int fd_;
  unsigned verbosity_;
  std::vector<std::string> secrets_;
};

}  // namespace sarde
