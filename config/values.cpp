#include "config/values.hpp"

#include <algorithm>
#include <span>

#include "config/image_policy.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/host_size.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

OptionValues values_in(const Environment& environment) {
  OptionValues values;
  for (const auto& row : option_table) {
    if (row.scope == OptionScope::call) continue;
    auto name = variable_name(row.name);
    auto text = environment.get(name);
    if (!text && !row.alias.empty()) {
      name = variable_name(row.alias);
      text = environment.get(name);
    }
    if (!text) continue;
    OptionValue value{.items = has_items(row.kind) ? split(*text, ',') : std::vector{*text},
                      .origin = "environment variable " + name};
    check_value(row, value);
    values[std::string(row.name)] = std::move(value);
  }
  return values;
}

/// A default, with what the host has in place of <data> and its like.
std::string initial_text(std::string_view initial, const Environment& environment, bool is_root) {
  if (!initial.starts_with('<')) return std::string(initial);
  constexpr unsigned most_processors = 512;
  if (initial == "<memory>") return std::to_string(host_size().memory_mib) + "MiB";
  if (initial == "<processors>") return std::to_string(std::min(host_size().processors, most_processors));
  if (initial == "<uri>")
    return environment.non_empty("LIBVIRT_DEFAULT_URI")
        .value_or(is_root ? "qemu:///system" : "qemu:///session");
  const auto home = environment.non_empty("HOME").value_or("/");
  const fs::path data =
      is_root
          ? fs::path("/var/lib/sardinecake")
          : fs::path(environment.non_empty("XDG_DATA_HOME").value_or(home + "/.local/share")) / "sardinecake";
  return data.string() + std::string(initial.substr(initial.find('>') + 1));
}

OptionValues initial_values(const Environment& environment, bool is_root) {
  OptionValues values;
  for (const auto& row : option_table) {
    if (row.initial.empty()) continue;
    const auto text = initial_text(row.initial, environment, is_root);
    values[std::string(row.name)] = {.items = has_items(row.kind) ? split(text, ',') : std::vector{text},
                                     .origin = "built-in default"};
  }
  return values;
}

}  // namespace

Values::Values(const ValueSources& sources, const Environment& environment, bool is_root)
    : home_(environment.non_empty("HOME").value_or("/")) {
  const auto place = [&](Place one) -> OptionValues& { return places_.at(static_cast<std::size_t>(one)); };
  place(Place::job) = sources.job;
  if (const auto* image = section_for_image(sources.file.images, sources.image)) place(Place::image) = *image;
  place(Place::command_line) = sources.command_line;
  place(Place::environment) = values_in(environment);
  const auto section = sources.file.commands.find(sources.command);
  if (section != sources.file.commands.end()) place(Place::section) = section->second;
  place(Place::top) = sources.file.top;
  place(Place::initial) = initial_values(environment, is_root);
  check();
}

Values Values::only(std::initializer_list<Place> places) const {
  auto some = *this;
  for (std::size_t i = 0; i < place_count; ++i) {
    if (std::ranges::find(places, static_cast<Place>(i)) == places.end()) some.places_.at(i).clear();
  }
  return some;
}

const OptionValue* Values::find(const OptionRow& row) const {
  // `until`: the places before this one are looked at.
  const auto look = [&](const OptionRow& wanted, std::size_t until) -> const OptionValue* {
    for (const auto& place : std::span(places_).first(until)) {
      const auto found = place.find(std::string(wanted.name));
      if (found != place.end()) return &found->second;
    }
    return nullptr;
  };
  constexpr auto defaults = static_cast<std::size_t>(Place::initial);
  if (!row.otherwise.empty() && look(row, defaults) == nullptr) {
    if (const auto* other = look(*find_option(row.otherwise), defaults)) return other;
  }
  return look(row, place_count);
}

OptionValues Values::all() const {
  OptionValues values;
  for (const auto& row : option_table) {
    if (const auto* value = find(row)) values[std::string(row.name)] = *value;
  }
  return values;
}

template <ValueKind Kind>
typename ValueOf<Kind>::type Values::read(const OptionRow& row) const {
  const auto* value = find(row);
  const auto text = value == nullptr || value->items.empty() ? std::string() : value->items.front();
  if constexpr (Kind == ValueKind::list) {
    return value == nullptr ? std::vector<std::string>() : value->items;
  } else if constexpr (Kind == ValueKind::pairs) {
    std::map<std::string, std::string> pairs;
    if (value == nullptr) return pairs;
    for (const auto& item : value->items) {
      const auto equals = item.find('=');
      pairs[item.substr(0, equals)] = item.substr(equals + 1);
    }
    return pairs;
  } else if constexpr (Kind == ValueKind::text) {
    return text;
  } else if constexpr (Kind == ValueKind::path) {
    if (text.empty()) return {};
    return fs::absolute(text.starts_with("~/") ? home_ + text.substr(1) : text).lexically_normal();
  } else if constexpr (Kind == ValueKind::flag) {
    return parse_flag(text).value_or(false);
  } else if constexpr (Kind == ValueKind::seconds) {
    if (value == nullptr) return std::nullopt;
    return std::chrono::seconds(parse_seconds(text).value_or(0));
  } else if constexpr (Kind == ValueKind::factor) {
    return parse_factor(text).value_or(1);
  } else if constexpr (std::is_same_v<typename ValueOf<Kind>::type, Share>) {
    if (text == "auto") return {.is_auto = true};
    constexpr std::uint64_t unit = Kind == ValueKind::memory_share ? 1U << 20U : 1;
    const auto number = parse_size(text).value_or(0) / unit;
    return {.number = number == 0 ? std::nullopt : std::optional(number)};
  } else {
    using Type = typename ValueOf<Kind>::type;
    const auto number = parse_size(text).value_or(0);
    if constexpr (std::is_same_v<Type, std::uint64_t>) {
      return number;
    } else {
      constexpr std::uint64_t unit = Kind == ValueKind::memory ? 1U << 20U : 1;
      if (number == 0) return std::nullopt;
      return static_cast<typename Type::value_type>(number / unit);
    }
  }
}

template ValueOf<ValueKind::text>::type Values::read<ValueKind::text>(const OptionRow&) const;
template ValueOf<ValueKind::path>::type Values::read<ValueKind::path>(const OptionRow&) const;
template ValueOf<ValueKind::flag>::type Values::read<ValueKind::flag>(const OptionRow&) const;
template ValueOf<ValueKind::number>::type Values::read<ValueKind::number>(const OptionRow&) const;
template ValueOf<ValueKind::port>::type Values::read<ValueKind::port>(const OptionRow&) const;
template ValueOf<ValueKind::count>::type Values::read<ValueKind::count>(const OptionRow&) const;
template ValueOf<ValueKind::seconds>::type Values::read<ValueKind::seconds>(const OptionRow&) const;
template ValueOf<ValueKind::size>::type Values::read<ValueKind::size>(const OptionRow&) const;
template ValueOf<ValueKind::limit>::type Values::read<ValueKind::limit>(const OptionRow&) const;
template ValueOf<ValueKind::memory>::type Values::read<ValueKind::memory>(const OptionRow&) const;
template ValueOf<ValueKind::count_share>::type Values::read<ValueKind::count_share>(const OptionRow&) const;
template ValueOf<ValueKind::memory_share>::type Values::read<ValueKind::memory_share>(const OptionRow&) const;
template ValueOf<ValueKind::factor>::type Values::read<ValueKind::factor>(const OptionRow&) const;
template ValueOf<ValueKind::list>::type Values::read<ValueKind::list>(const OptionRow&) const;
template ValueOf<ValueKind::pairs>::type Values::read<ValueKind::pairs>(const OptionRow&) const;

/// What a value alone does not show to be wrong.
void Values::check() const {
  for (const auto& name : get<"job-settable">()) {
    const auto* row = find_option(name);
    if (row == nullptr || !row->job_may_set)
      throw Error(Blame::job, find(row_of<"job-settable">())->origin + ": job-settable: " + quote(name) +
                                  " is not an option that can be left to jobs");
  }
  if (get<"shell">() == "powershell") return;
  for (const auto* row : {&row_of<"guest-builds-dir">(), &row_of<"guest-cache-dir">()}) {
    const auto* value = find(*row);
    if (!value->items.front().starts_with('/'))
      throw Error(Blame::job, value->origin + ": " + std::string(row->name) + " is not an absolute path");
  }
}

std::vector<std::string> complaints_about_variables(const Environment& environment) {
  std::vector<std::string> complaints;
  for (const auto& [name, value] : environment.all()) {
    if (!name.starts_with("SARDE_") || name == "SARDE_CONF_FILES") continue;
    auto option = lowered(name.substr(std::string_view("SARDE_").size()));
    std::ranges::replace(option, '_', '-');
    const auto* row = find_option(option);
    if (row == nullptr)
      complaints.push_back("environment variable " + name + " is ignored: there is no option " +
                           quote(option) + option_hint(option));
    else if (row->scope == OptionScope::call)
      complaints.push_back("environment variable " + name + " is ignored: " + quote(option) +
                           " can only be set on the command line");
  }
  return complaints;
}

OptionValues job_values(const std::map<std::string, std::string>& wishes,
                        const std::vector<std::string>& settable,
                        const std::function<void(const std::string&)>& complain) {
  OptionValues values;
  for (const auto& [suffix, text] : wishes) {
    const auto found = std::ranges::find_if(settable, [&, &suffix = suffix](const std::string& name) {
      return variable_name(name) == "SARDE_" + suffix;
    });
    if (found == settable.end()) {
      complain("the job's variable " + quote("SARDE_" + suffix) + " is ignored: job-settable " +
               (settable.empty() ? "is empty" : "lists only " + join(settable, ", ")));
      continue;
    }
    OptionValue value{.items = {text}, .origin = "the job's variable SARDE_" + suffix};
    check_value(*find_option(*found), value);
    values[*found] = std::move(value);
  }
  return values;
}

}  // namespace sarde
