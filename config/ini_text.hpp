#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// A key and its value, with the line that it begins in.
struct IniValue {
  std::string key;    ///< in lower case
  std::string value;  ///< lines joined by newlines, `%(key)s` replaced
  unsigned line = 0;
};

struct IniSection {
  std::string name;
  unsigned line = 0;
  std::vector<IniValue> values;
};

/// Reads an INI file as Python's configparser does (docs.python.org, library/configparser), for that is what
/// sardinecake reads its files with: `key = value` or `key: value`; lines that begin with `#` or `;` are
/// comments, a line that is indented more than its key continues a value; `%%` is a percent sign and
/// `%(key)s` another value of the section or of `[DEFAULT]`. `[DEFAULT]` is returned like any other section,
/// its values are not copied into the others. Not done with inih: it ends a section's name at the first `]`,
/// so that globs with
/// `[…]` break, and cuts it after 49 bytes, which image names exceed.
///
/// Throws Error naming `what` and the line: for a line that is none of these, a section or key that comes
/// twice, a `%` that makes no sense.
std::vector<IniSection> parse_ini(std::string_view text, const std::string& what);

}  // namespace sarde
