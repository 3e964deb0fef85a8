#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// The parts of `text` between `separator`s. An empty text has one empty part.
std::vector<std::string> split(std::string_view text, char separator);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// `text` without white space (space, tab, CR, LF) at both ends.
std::string trimmed(std::string_view text);

/// Whether `c` is an ASCII letter or digit.
bool is_letter_or_digit(char c);

/// `text` with its ASCII letters in lower case.
std::string lowered(std::string_view text);

/// Untrusted text for a message: in single quotes, with control characters and bytes over 126 as \xNN, and
/// cut to `longest` bytes.
std::string quote(std::string_view text, std::size_t longest = 200);

/// One line for people, whatever `text` contains. It is valid UTF-8. Other white space becomes spaces.
/// Anything that a terminal or a web page would act upon instead of showing it (control characters,
/// bidirectional and invisible characters, GitLab's section markers, invalid UTF-8) is written as \\xNN or
/// \\u{NNNN}. The line is cut to `longest` bytes.
std::string printable_line(std::string_view text, std::size_t longest = 4000);

/// The text without the markers by which GitLab folds a job's log, section_start: and section_end:. Their
/// colons are replaced by `colon`.
std::string without_section_markers(std::string text, std::string_view colon);

/// Whether `text` is UTF-8 (RFC 3629) without NUL.
bool is_utf8_text(std::string_view text);

/// The last `lines` lines of an untrusted text for a job log, without escape sequences and without control
/// characters other than newline.
std::string printable_tail(std::string_view text, std::size_t lines);

/// Parses a decimal number without sign, space or leading garbage. Returns nothing if `text` is not one or if
/// the number does not fit.
std::optional<std::uint64_t> parse_number(std::string_view text);

/// Does the same for hexadecimal digits.
std::optional<std::uint64_t> parse_hex(std::string_view text);

std::string to_hex(const unsigned char* bytes, std::size_t count);

/// `text` quoted as one word for a POSIX shell.
std::string shell_quoted(std::string_view text);

/// "850 ms", "3.2 s", "2 min 5 s", "3 h 20 min", "4 days 2 h".
std::string duration_text(std::chrono::milliseconds duration);

/// "17 bytes", "3.4 MB", "1.2 GB": powers of 1000.
std::string size_text(std::uint64_t bytes);

/// Whether `text` matches the shell glob `pattern` (`*`, `?`, `[…]`; a `*` crosses slashes).
bool matches_glob(const std::string& pattern, const std::string& text);

}  // namespace sarde
