#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

enum class ValueKind {
  text,
  path,     ///< `~/` is the home folder; relative to the working directory
  flag,     ///< true or false
  number,   ///< a whole number, 0 or more
  seconds,  ///< a time of a second or more: a whole number of seconds, or with a unit: 90m, 12h, 30d, 2w
  size,     ///< bytes, with a unit if wanted: 256MiB, 1GB
  list,     ///< of texts
};

/// Where an option may be set.
enum class OptionScope {
  everywhere,  ///< command line, environment, files: top level, a command's section, an image's section
  call,        ///< it says what one call does: command line, or a command's section
};

/// One option: its long name, which is also its key in files and, as SARDE_<NAME>, in the environment.
struct OptionRule {
  std::string_view name;
  ValueKind kind = ValueKind::text;
  std::string_view help;
  std::vector<std::string_view> choices = {};  ///< empty: anything
  OptionScope scope = OptionScope::everywhere;
  std::string_view alias = {};  ///< what sardinecake calls it
};

/// Every option there is, in alphabetical order.
std::span<const OptionRule> option_rules();

/// By name or alias; null if there is no such option.
const OptionRule* find_rule(std::string_view name);

/// May an administrator list it in job-settable? Only what concerns the job's own VM: neither this host's
/// folders nor its network, nor what images may have.
bool may_be_left_to_jobs(std::string_view name);

/// SARDE_BOOT_TIMEOUT for boot-timeout.
std::string variable_name(std::string_view option);

/// A value as text (a list: one text an item) and the place it came from, for messages and `sarde settings`.
struct OptionValue {
  std::vector<std::string> items;
  std::string origin;
};

using OptionValues = std::map<std::string, OptionValue>;

/// Checks a value against the rule. Throws Error (the job's fault, so that nobody tries again) naming origin
/// and option.
void check_value(const OptionRule& rule, const OptionValue& value);

}  // namespace sarde
