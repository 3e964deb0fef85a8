#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// What an option's value is, and what Values::get() makes of it.
enum class ValueKind {
  text,          ///< std::string; one of `choices` if there are any
  path,          ///< `~/` is the home folder; relative to the working directory. Empty: not set
  flag,          ///< true or false
  number,        ///< a whole number
  port,          ///< 1 to 65535; 0: nothing
  count,         ///< 1 to 512; 0: nothing
  seconds,       ///< a second or more, with a unit if wanted: 90, 90m, 12h, 30d, 2w. Nothing if not set
  size,          ///< bytes, with a unit if wanted: 256MiB, 1GB
  limit,         ///< bytes; 0: nothing
  memory,        ///< MiB; 0: nothing; less than a MiB is an error
  count_share,   ///< like count; or `auto`: this host's divided among its jobs
  memory_share,  ///< like memory; or `auto`
  factor,        ///< 1 or more, with a fraction if wanted: 1.5
  list,          ///< of texts, each one of `choices` if there are any
  pairs,         ///< a TOML table of texts; NAME=TEXT, separated by commas, in a variable
};

/// Where an option may be set.
enum class OptionScope {
  everywhere,  ///< command line, environment, files: top level, a command's section, an image's section
  call,        ///< it says what one call does: command line, or a command's section
};

/// One option, in one row: all that the command line, the files, the environment, the help, the man pages,
/// the completions and docs/options.md know of it.
struct OptionRow {
  std::string_view name;   ///< long; also its key in files and, as SARDE_<NAME>, its variable
  std::string_view group;  ///< heading under which it is listed
  ValueKind kind = ValueKind::text;
  std::string_view help;           ///< a sentence without its full stop
  std::string_view commands = {};  ///< that have it on their command line, separated by spaces; *: all
  std::string_view initial = {};   ///< default; <data>, <uri>, <memory>, <processors>: as the host has them
  std::string_view example = {};   ///< where the default is none or says little
  std::string_view choices = {};   ///< separated by spaces; empty: anything
  OptionScope scope = OptionScope::everywhere;
  char letter = 0;                  ///< short form
  std::string_view alias = {};      ///< what sardinecake calls it
  bool job_may_set = false;         ///< an administrator may leave it to jobs (job-settable)
  std::string_view otherwise = {};  ///< option that counts where this one is not set
};

/// A size that may be left to the host.
struct Share {
  bool is_auto = false;                      ///< the host's, divided among its jobs
  std::optional<std::uint64_t> number = {};  ///< otherwise; nothing: not stated
};

/// A name as a template's argument.
template <std::size_t Size>
struct OptionName {
  char text[Size];  // NOLINT(cppcoreguidelines-avoid-c-arrays): a literal's own type

  constexpr OptionName(const char (&name)[Size]) { std::copy_n(name, Size, text); }  // NOLINT

  [[nodiscard]] constexpr std::string_view view() const { return {text, Size - 1}; }
};

/// The type that a kind's values have.
template <ValueKind>
struct ValueOf;

template <>
struct ValueOf<ValueKind::text> {
  using type = std::string;
};

template <>
struct ValueOf<ValueKind::path> {
  using type = std::filesystem::path;
};

template <>
struct ValueOf<ValueKind::flag> {
  using type = bool;
};

template <>
struct ValueOf<ValueKind::number> {
  using type = std::uint64_t;
};

template <>
struct ValueOf<ValueKind::port> {
  using type = std::optional<std::uint16_t>;
};

template <>
struct ValueOf<ValueKind::count> {
  using type = std::optional<unsigned>;
};

template <>
struct ValueOf<ValueKind::seconds> {
  using type = std::optional<std::chrono::seconds>;
};

template <>
struct ValueOf<ValueKind::size> {
  using type = std::uint64_t;
};

template <>
struct ValueOf<ValueKind::limit> {
  using type = std::optional<std::uint64_t>;
};

template <>
struct ValueOf<ValueKind::memory> {
  using type = std::optional<std::uint64_t>;
};

template <>
struct ValueOf<ValueKind::count_share> {
  using type = Share;
};

template <>
struct ValueOf<ValueKind::memory_share> {
  using type = Share;
};

template <>
struct ValueOf<ValueKind::factor> {
  using type = double;
};

template <>
struct ValueOf<ValueKind::list> {
  using type = std::vector<std::string>;
};

template <>
struct ValueOf<ValueKind::pairs> {
  using type = std::map<std::string, std::string>;
};

/// Kinds of which a value has any number of items.
constexpr bool has_items(ValueKind kind) {
  return kind == ValueKind::list || kind == ValueKind::pairs;
}

}  // namespace sarde
