#pragma once

#include <array>
#include <functional>
#include <initializer_list>
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

  /// Those that the job or the image's section sets.
  [[nodiscard]] Values of_image() const { return only({Place::job, Place::image}); }

  /// Those that neither of them sets.
  [[nodiscard]] Values of_others() const {
    return only({Place::command_line, Place::environment, Place::section, Place::top, Place::initial});
  }

  /// Those that the command line or the command's section sets.
  [[nodiscard]] Values of_call() const { return only({Place::command_line, Place::section}); }

  /// The value of every option that has one, and where it comes from, by name.
  [[nodiscard]] OptionValues all() const;

 private:
  /// In the order of their force.
  enum class Place { job, image, command_line, environment, section, top, initial };

  static constexpr std::size_t place_count = 7;

  [[nodiscard]] Values only(std::initializer_list<Place> places) const;
  template <ValueKind Kind>
  [[nodiscard]] typename ValueOf<Kind>::type read(const OptionRow& row) const;

  [[nodiscard]] const OptionValue* find(const OptionRow& row) const;
  void check() const;

  std::array<OptionValues, place_count> places_;  ///< by Place
  std::string home_;
};

/// A sentence for each variable named SARDE_… that no option has.
std::vector<std::string> complaints_about_variables(const Environment& environment);

/// What a job may set of what it wishes (by the rest of the variable's name behind SARDE_). What it may not
/// is told to `complain`, a sentence each. Throws Error, the job's fault, for a value that does not fit.
OptionValues job_values(const std::map<std::string, std::string>& wishes,
                        const std::vector<std::string>& settable,
                        const std::function<void(const std::string&)>& complain);

}  // namespace sarde
