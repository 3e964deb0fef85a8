#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/option_table.hpp"
#include "config/option_value.hpp"
#include "config/settings_file.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// Where the values of one call of the program come from. Of several places, the first that has an option
/// wins: the job's variables, the image's section, [the image's own login], command line, environment
/// (SARDE_<OPTION>), the command's section, the file's top level, the default.
struct ValueSources {
  SettingsFile file;
  std::string command;
  OptionValues command_line;
  std::vector<std::string> image;  ///< the job's, by all its names; none: no image section applies
  OptionValues job = {};           ///< what job_values() gave
};

/// Every option's value, typed: `values.get<"memory">()`.
class Values {
 public:
  /// Throws Error naming the place of a value that does not fit. `is_root` decides about the default folders.
  Values(const ValueSources& sources, const Environment& environment, bool is_root);

  /// The value, of the type that the option's kind has (ValueOf).
  template <OptionName Name>
  [[nodiscard]] auto get() const {
    constexpr const auto& row = row_of<Name>();
    return read<row.kind>(row);
  }

  /// Is it set anywhere, if only by default?
  template <OptionName Name>
  [[nodiscard]] bool has() const {
    return find(row_of<Name>()) != nullptr;
  }

  /// As far as only the job and the image's section say something.
  [[nodiscard]] Values of_image() const { return {{job_, image_}, home_}; }

  /// As far as neither of them is asked.
  [[nodiscard]] Values of_others() const {
    return {{command_line_, environment_, section_, top_, defaults_}, home_};
  }

  /// As far as command line and command's section say something.
  [[nodiscard]] Values of_call() const { return {{command_line_, section_}, home_}; }

  /// The value of every option that has one, and where it comes from, by name.
  [[nodiscard]] OptionValues all() const;

 private:
  Values(std::vector<OptionValues> places, std::string home)
      : places_(std::move(places)), home_(std::move(home)) {}

  template <ValueKind Kind>
  [[nodiscard]] typename ValueOf<Kind>::type read(const OptionRow& row) const;

  [[nodiscard]] const OptionValue* find(const OptionRow& row) const;
  void check() const;

  OptionValues job_;
  OptionValues image_;
  OptionValues command_line_;
  OptionValues environment_;
  OptionValues section_;
  OptionValues top_;
  OptionValues defaults_;
  std::vector<OptionValues> places_;  ///< those that count, in the order of their force
  std::string home_;
};

/// What a job may set of what it wishes (by the rest of the variable's name behind SARDE_). What it may not
/// is told to `complain`, a sentence each. Throws Error, the job's fault, for a value that does not fit.
OptionValues job_values(const std::map<std::string, std::string>& wishes,
                        const std::vector<std::string>& settable,
                        const std::function<void(const std::string&)>& complain);

}  // namespace sarde
