#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// The parts of `text` between `separator`s; an empty text has one empty part.
std::vector<std::string> split(std::string_view text, char separator);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Without white space (space, tab, CR, LF) at both ends.
std::string trimmed(std::string_view text);

/// Is it an ASCII letter or digit?
bool is_letter_or_digit(char c);

/// ASCII letters in lower case.
std::string lowered(std::string_view text);

/// Foreign text for a message: in single quotes, control characters and bytes over 126 as \xNN, cut to
/// `longest` bytes.
std::string quote(std::string_view text, std::size_t longest = 200);

/// One line for people, whatever is in `text`: valid UTF-8, other white space as spaces, and everything that
/// a terminal or a web page would act upon instead of showing it (control characters, bidirectional and
/// invisible ones, GitLab's section markers, bytes that are no UTF-8) as \\xNN or \\u{NNNN}; cut to `longest`
/// bytes.
std::string printable_line(std::string_view text, std::size_t longest = 4000);

/// The text without what GitLab folds a job's log by, section_start: and section_end:, whose colons become
/// `colon`.
std::string without_section_markers(std::string text, std::string_view colon);

/// Is it UTF-8 (RFC 3629) without NUL?
bool is_utf8_text(std::string_view text);

/// Foreign text of several lines for a job log: escape sequences and control characters other than newline
/// removed, its last `lines` lines.
std::string printable_tail(std::string_view text, std::size_t lines);

/// A decimal number without sign, space or leading garbage; nothing if it is not one or does not fit.
std::optional<std::uint64_t> parse_number(std::string_view text);

/// The same in hexadecimal digits.
std::optional<std::uint64_t> parse_hex(std::string_view text);

std::string to_hex(const unsigned char* bytes, std::size_t count);

/// `text` as one word for a POSIX shell.
std::string shell_quoted(std::string_view text);

/// "850 ms", "3.2 s", "2 min 5 s".
std::string duration_text(std::chrono::milliseconds duration);

/// "17 bytes", "3.4 MB", "1.2 GB": powers of 1000.
std::string size_text(std::uint64_t bytes);

/// Does `text` match the shell glob `pattern` (`*`, `?`, `[…]`; a `*` crosses slashes)?
bool matches_glob(const std::string& pattern, const std::string& text);

}  // namespace sarde
