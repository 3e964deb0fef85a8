#include "executor/wiring/console_reporter.hpp"

#include <algorithm>
#include <unistd.h>

#include "core/foundation/text.hpp"
#include "executor/wiring/terminal.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// Masking shorter secrets would hide half of every line.
constexpr std::size_t shortest_secret = 4;

constexpr std::string_view mask_text = "[MASKED]";

constexpr milliseconds line_every(5'000);
constexpr milliseconds bar_every(100);

/// The text with a bar behind it, cut to the terminal's width.
std::string bar_line(const std::string& text, const Progress& progress, std::size_t columns) {
  constexpr std::size_t shortest_bar = 10;
  constexpr std::size_t longest_bar = 40;
  auto line = text.substr(0, columns - 1);
  if (progress.total == 0 || line.size() + shortest_bar + 4 > columns) return line;
  const auto width = std::min(longest_bar, columns - line.size() - 4);
  const auto full = static_cast<std::size_t>(static_cast<double>(width) * static_cast<double>(progress.done) /
                                             static_cast<double>(progress.total));
  const auto filled = std::min(full, width);
  return line + " [" + std::string(filled, '#') + std::string(width - filled, ' ') + "]";
}

}  // namespace

std::string progress_text(const Progress& progress, std::uint64_t done_before, milliseconds since_start) {
  auto text = "  " + progress.doing + ": " + size_text(progress.done);
  if (progress.total != 0) {
    const auto percent =
        static_cast<unsigned>(100 * static_cast<double>(progress.done) / static_cast<double>(progress.total));
    text += " of " + size_text(progress.total) + ", " + std::to_string(percent) + " %";
  }
  const auto fresh = progress.done - std::min(done_before, progress.done);
  if (fresh == 0 || since_start.count() < 100) return text;
  const auto rate = static_cast<double>(fresh) * 1000 / static_cast<double>(since_start.count());
  text += ", " + size_text(static_cast<std::uint64_t>(rate)) + "/s";
  if (progress.total <= progress.done) return text;
  const auto left = static_cast<double>(progress.total - progress.done) / rate;
  return text + ", " + duration_text(milliseconds(static_cast<std::int64_t>(left * 1000))) + " left";
}

ConsoleReporter::ConsoleReporter(int fd, unsigned verbosity, const Clock& clock, Form form)
    : fd_(fd),
      verbosity_(verbosity),
      clock_(clock),
      has_sections_(form.sections && verbosity > 0),
      has_colours_(form.colours),
      is_terminal_(::isatty(fd) == 1) {}

ConsoleReporter::~ConsoleReporter() {
  clear_bar();
}

void ConsoleReporter::say(const std::string& line) {
  const std::scoped_lock lock(mutex_);
  if (verbosity_ >= 1) write_line(line);
}

void ConsoleReporter::detail(const std::string& line) {
  const std::scoped_lock lock(mutex_);
  if (verbosity_ >= 2) write_line(line);
}

void ConsoleReporter::warn(const std::string& line) {
  const std::scoped_lock lock(mutex_);
  write_line(line);
}

void ConsoleReporter::progress(const Progress& progress) {
  const std::scoped_lock lock(mutex_);
  if (verbosity_ == 0) return;
  const auto now = clock_.now();
  const auto every = is_terminal_ ? bar_every : line_every;
  if (progress.doing != doing_) {
    doing_ = progress.doing;
    begun_ = now;
    done_at_start_ = progress.done;
    next_ = now + every;
  }
  if (now < next_) return;
  next_ = now + every;
  const auto text = progress_text(progress, done_at_start_, milliseconds_between(begun_, now));
  if (!is_terminal_) {
    write_line(text);
    return;
  }
  constexpr std::size_t usual = 80;
  const auto columns = columns_at(fd_);
  write("\r\x1b[K" + bar_line(printable_line(masked(text)), progress, columns == 0 ? usual : columns));
  bar_is_shown_ = true;
}

void ConsoleReporter::begin_section(const std::string& name, const std::string& title) {
  const std::scoped_lock lock(mutex_);
  if (!has_sections_) return;
  write("\x1b[0Ksection_start:" + std::to_string(clock_.moment().unix_seconds) + ":sarde_" + name +
        "\r\x1b[0K" + printable_line(masked(title)) + "\n");
}

void ConsoleReporter::end_section(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  if (!has_sections_) return;
  clear_bar();
  write("\x1b[0Ksection_end:" + std::to_string(clock_.moment().unix_seconds) + ":sarde_" + name +
        "\r\x1b[0K\n");
}

void ConsoleReporter::mask(const std::string& secret) {
  const std::scoped_lock lock(mutex_);
  if (secret.size() >= shortest_secret) secrets_.push_back(secret);
}

void ConsoleReporter::clear_bar() {
  if (bar_is_shown_) write("\r\x1b[K");
  bar_is_shown_ = false;
}

void ConsoleReporter::write_line(const std::string& line) {
  clear_bar();
  const auto text = printable_line(masked(line));
  write((has_colours_ ? coloured(text) : text) + '\n');
}

std::string ConsoleReporter::masked(std::string text) const {
  for (const auto& secret : secrets_) {
    for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + mask_text.size()))
      text.replace(at, secret.size(), mask_text);
  }
  return text;
}

void ConsoleReporter::write(const std::string& text) const {
  // If stderr is gone, there is no way to report it.
  static_cast<void>(!::write(fd_, text.data(), text.size()));
}

}  // namespace sarde
