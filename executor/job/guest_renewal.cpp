#include "executor/job/guest_renewal.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <sys/random.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/job/guest_answer.hpp"

namespace sarde {

namespace {

using Seconds = std::chrono::duration<double>;

/// Prints a line for each thing that was done: `seed HOW`, `random DIGITS`, `time SECONDS`. {0}: 64 digits of
/// this host's random numbers; {1}: the name, or nothing; {2}: a machine ID; {3}: what sets the clock. The
/// numbers of the ioctls are those of Linux on all but a few old processors, where the attempt fails.
constexpr auto script = R"sh(echo here
[ "$(id -u)" = 0 ] || exec sudo -n sh "$0"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
echo root
bytes={0}
seed=none
for f in /sys/bus/*/drivers/vmgenid/*:*; do [ -e "$f" ] && seed=vmgenid; done
if command -v perl >/dev/null; then
  printf %s $bytes | perl -e 'open(my $r, "+<", "/dev/urandom") or die; my $b = pack("iiH*", 256, 32, <STDIN>);
    ioctl($r, 0x40085203, $b) or die; ioctl($r, 0x5207, 0) or die;' && seed=perl
elif command -v python3 >/dev/null; then
  printf %s $bytes | python3 -c 'import fcntl, struct, sys
with open("/dev/urandom", "r+b", 0) as r:
    fcntl.ioctl(r, 0x40085203, struct.pack("ii32s", 256, 32, bytes.fromhex(sys.stdin.read())))
    fcntl.ioctl(r, 0x5207)' && seed=python3
fi
echo seed $seed
name={1}
if [ -n "$name" ]; then
  hostname "$name" || echo "$name" >/proc/sys/kernel/hostname
  [ -s /etc/hostname ] && echo "$name" >/etc/hostname
  [ -w /etc/hosts ] && echo "127.0.1.1 $name" >>/etc/hosts
  for f in /etc/machine-id /var/lib/dbus/machine-id; do
    [ -s $f ] && [ ! -L $f ] && echo {2} >$f
  done
fi
echo random $(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')
{3}
echo time $(date -u +%s.%N)
)sh";

Seconds time_of_host() {
  return std::chrono::system_clock::now().time_since_epoch();
}

std::string random_digits() {
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw Error("get random numbers for a guest");
  std::string digits;
  for (const auto byte : bytes) digits += fmt::format("{:02x}", byte);
  return digits;
}

/// The words of the lines, by the first.
std::map<std::string, std::string> lines_of(const std::string& answer) {
  std::map<std::string, std::string> lines;
  for (const auto& line : split(answer, '\n')) {
    const auto space = line.find(' ');
    lines[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
  }
  return lines;
}

/// The time in a guest, right after it was set.
struct GuestTime {
  Seconds at{};
  bool is_exact = false;  ///< its `date` knows fractions of seconds
};

std::optional<GuestTime> time_in(const std::string& words) {
  double seconds = 0;
  const auto* const end = words.data() + words.size();
  const auto [rest, error] = std::from_chars(words.data(), end, seconds);
  if (error != std::errc() || !(seconds > 0) || !std::isfinite(seconds)) return std::nullopt;
  const auto point = words.find('.');
  const bool has_fraction = point != std::string::npos && point + 1 < words.size();
  return GuestTime{.at = Seconds(seconds), .is_exact = rest == end && has_fraction};
}

/// Shell commands: to a time of this host's, which is some time ago when they run. A `date` that takes no
/// fractions is given the next whole second when that begins.
std::string clock_set_to(Seconds time) {
  const auto next = std::floor(time.count()) + 1;
  return fmt::format("date -u -s @{:.3f} >/dev/null || {{ sleep {:.3f}; date -u -s @{:.0f} >/dev/null; }}",
                     time.count(), next - time.count(), next);
}

/// By the difference that was found, so it does not matter when they run.
std::string clock_moved_by(Seconds difference, bool is_exact) {
  if (is_exact)
    return fmt::format("date -u -s @$(date +%s.%N | awk '{{ printf \"%.3f\", $1 + {:.3f} }}') >/dev/null",
                       difference.count());
  const auto next = std::floor(difference.count()) + 1;
  return fmt::format(
      "s=$(date +%s); while [ $(date +%s) = $s ]; do sleep 0.02; done; sleep {:.3f}; "
      "date -u -s @$((s + 1 + {:.0f})) >/dev/null",
      next - difference.count(), next);
}

std::string problem_in(const std::map<std::string, std::string>& said) {
  if (!said.contains("here")) return "the guest did not answer in time";
  if (!said.contains("root"))
    return "the guest's login user is not root and cannot use sudo without a password";
  const auto seed = said.find("seed");
  if (seed == said.end() || seed->second == "none")
    return "the guest's kernel cannot be given new random numbers: it has no VMGENID, and there is neither "
           "perl nor python3 to do it";
  const auto random = said.find("random");
  constexpr std::size_t digits = 64;
  if (random == said.end() || random->second.size() != digits ||
      random->second.find_first_not_of("0123456789abcdef") != std::string::npos)
    return "the guest shows no random numbers";
  return "";
}

}  // namespace

Renewal renew_guest(GuestShell& guest, const std::string& name, const std::function<void()>& watch,
                    Clock& clock, Cancellation& cancellation) {
  constexpr std::chrono::seconds patience(20);
  constexpr int most_tries = 4;
  constexpr Seconds tolerance(0.7);
  auto set_clock = clock_set_to(time_of_host());
  Seconds off{};
  for (int tries = 0; tries < most_tries; ++tries) {
    const auto answer =
        ask_guest(guest,
                  {.content = fmt::format(fmt::runtime(script), random_digits(), tries == 0 ? name : "",
                                          random_digits().substr(0, 32), set_clock),
                   .shell = "sh",
                   .deadline = clock.now() + patience,
                   .watch = watch},
                  cancellation);
    const auto said = lines_of(answer.text);
    if (auto problem = problem_in(said); !problem.empty()) return {.problem = std::move(problem)};
    const auto time = said.find("time");
    const auto in_guest = time == said.end() ? std::nullopt : time_in(time->second);
    if (!in_guest) return {.problem = "the guest does not tell its time"};
    off = Seconds(answer.arrived.time_since_epoch()) - in_guest->at;
    if (std::abs(off.count()) <= tolerance.count()) return {.random = said.at("random")};
    set_clock = clock_moved_by(off, in_guest->is_exact);
  }
  return {.problem = fmt::format("the guest's clock cannot be set: it is {:.1f} s off", off.count())};
}

}  // namespace sarde
