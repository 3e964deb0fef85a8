#include "core/vm/passt.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <ifaddrs.h>
#include <memory>
#include <netinet/in.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/companion.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

constexpr auto socket_name = "qemu.sock";
constexpr auto pid_name = "passt.pid";
constexpr std::size_t longest_socket_path = 107;  // unix(7)
constexpr uid_t nobody = 65534;

/// Gives the socket that passt has made to QEMU. passt's account may write to the folder: what it put there
/// in place of its socket is not followed.
void give_socket(const fs::path& socket, const QemuAccount& qemu) {
  const UniqueFd fd(::open(socket.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));

  struct stat status {};

  if (!fd || ::fstat(fd.get(), &status) != 0)
    throw Error("give " + socket.string() + " to QEMU: " + errno_text(errno));
  if (!S_ISSOCK(status.st_mode) || status.st_nlink != 1)
    throw Error("give " + socket.string() + " to QEMU: it is not passt's socket");
  if (::fchownat(fd.get(), "", qemu.uid, qemu.gid, AT_EMPTY_PATH) != 0)
    throw Error("give " + socket.string() + " to QEMU: " + errno_text(errno));
}

/// A port of 127.0.0.1 that is free now. Somebody else may be quicker to take it: passt tells.
std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (!fd || ::bind(fd.get(), generic, size) != 0 || ::getsockname(fd.get(), generic, &size) != 0)
    throw Error("find a free port: " + errno_text(errno));
  return ntohs(address.sin_port);
}

/// The host's resolvers, for passt may be kept from reading /etc/resolv.conf itself: Debian's AppArmor
/// profile forbids it wherever that is a link. The guest cannot use a resolver on the host's loopback
/// (systemd-resolved's, say): if the first is one, passt forwards to it what the guest asks of an address
/// that stands for it.
std::vector<std::string> resolver_options() {
  // As many as resolv.conf(5) may name; passt ends at the fifth of a family.
  constexpr std::size_t most = 3;
  std::vector<std::string> addresses;
  for (const auto& line : split(read_file_if_there("/etc/resolv.conf").value_or(""), '\n')) {
    constexpr std::string_view key = "nameserver";
    if (!line.starts_with(key) || addresses.size() == most) continue;
    const auto rest = trimmed(std::string_view(line).substr(key.size()));
    const auto address = rest.substr(0, rest.find_first_of(" \t#;"));
    // One of a single link (with %eth0) is none that a guest could ask.
    in6_addr parsed{};
    const bool is_address = ::inet_pton(AF_INET, address.c_str(), &parsed) == 1 ||
                            ::inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
    constexpr auto stand_in = "169.254.1.1";
    if (is_address && addresses.empty() && address.starts_with("127."))
      return {"--dns", address, "--dns", stand_in, "--dns-forward", stand_in};
    if (is_address && address != "::1" && !address.starts_with("127.")) addresses.push_back(address);
  }
  std::vector<std::string> options;
  for (const auto& address : addresses) options.insert(options.end(), {"--dns", address});
  return options;
}

/// The last line that says what went wrong: on a host without a system log, passt complains of that, too.
std::string complaint_of(const std::string& errors) {
  std::string lines;
  for (const auto& line : split(errors, '\n'))
    if (!line.starts_with("Failed to send ")) lines += line + "\n";
  return printable_tail(lines, 1);
}

/// passt's account may write to the folder: whatever it puts there in place of its file is no number, and
/// holds nobody up.
std::string text_of_pid_file(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));

  struct stat status {};

  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  std::array<char, 16> text{};
  const auto got = ::read(fd.get(), text.data(), text.size());
  return got > 0 ? std::string(text.data(), static_cast<std::size_t>(got)) : std::string();
}

/// The process that has just been started with this socket, as the file that it wrote says; nothing if that
/// names another one.
std::optional<ProcessIdentity> process_of(const fs::path& folder) {
  const auto pid = parse_number(trimmed(text_of_pid_file(folder / pid_name)));
  if (!pid || *pid <= 1 || *pid > 0x7fffffff) return std::nullopt;
  auto process = identity_of(static_cast<pid_t>(*pid));
  const auto command = read_proc_file("/proc/" + std::to_string(*pid) + "/cmdline").value_or("");
  const auto words = split(command, '\0');
  const bool is_ours = std::ranges::find(words, (folder / socket_name).string()) != words.end();
  return is_ours ? process : std::nullopt;
}

/// Where it is noted: beside the folder, for in that one passt's account may write.
fs::path record_of(const fs::path& folder) {
  return folder.parent_path() / (folder.filename().string() + ".process");
}

/// The interfaces of this host with a default route, the preferred one first (proc(5): /proc/net/route,
/// /proc/net/ipv6_route).
std::vector<std::string> routed_interfaces() {
  std::vector<std::string> names;
  for (const auto& line : split(read_proc_file("/proc/net/route").value_or(""), '\n')) {
    const auto words = split(line, '\t');  // interface, destination, …
    if (words.size() > 1 && words[1] == "00000000") names.push_back(words[0]);
  }
  for (const auto& line : split(read_proc_file("/proc/net/ipv6_route").value_or(""), '\n')) {
    const auto last = line.rfind(' ');  // destination, length of its prefix, …, interface
    if (line.starts_with("00000000000000000000000000000000 00") && last != std::string::npos)
      names.push_back(line.substr(last + 1));
  }
  return names;
}

/// Empty for what is no IP address.
std::string numeric(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address == nullptr) return "";
  const void* bytes = nullptr;
  if (address->sa_family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  if (address->sa_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (bytes == nullptr || ::inet_ntop(address->sa_family, bytes, text.data(), text.size()) == nullptr)
    return "";
  return text.data();
}

std::vector<std::string> command_line(const PasstPlan& plan, std::uint16_t port) {
  const auto file = [&](const char* name) { return (plan.folder / name).string(); };
  std::vector<std::string> argv{"passt", "--one-off", "--quiet", "--no-map-gw"};
  argv.insert(argv.end(), {"--socket", file(socket_name), "--pid", file(pid_name)});
  const auto ports = "127.0.0.1/" + std::to_string(port) + ":" + std::to_string(plan.guest_port);
  argv.insert(argv.end(), {"--tcp-ports", ports, "--udp-ports", "none"});
  if (::geteuid() == 0)
    argv.insert(argv.end(), {"--runas", std::to_string(nobody) + ":" + std::to_string(plan.group)});
  for (const auto& option : resolver_options()) argv.push_back(option);
  return argv;
}

}  // namespace

std::string passt_answers() {
  std::string answers;
  for (const auto& line : split(read_file_if_there("/etc/resolv.conf").value_or(""), '\n'))
    if (!line.starts_with('#') && !trimmed(line).empty()) answers += trimmed(line) + "\n";
  const auto interfaces = routed_interfaces();
  answers += join(interfaces, " ") + "\n";
  ifaddrs* listed = nullptr;
  if (::getifaddrs(&listed) != 0) throw Error("ask for this host's addresses: " + errno_text(errno));
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(listed, ::freeifaddrs);
  std::set<std::string> addresses;
  for (const auto* entry = listed; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr ||
        std::ranges::find(interfaces, std::string(entry->ifa_name)) == interfaces.end())
      continue;
    const auto text = numeric(entry->ifa_addr);
    if (!text.empty() && !text.starts_with("fe80"))
      addresses.insert(text + " " + numeric(entry->ifa_netmask));
  }
  for (const auto& address : addresses) answers += address + "\n";
  return answers;
}

PasstNetwork start_passt(const PasstPlan& plan, const Environment& environment, Clock& clock,
                         Cancellation& cancellation) {
  const auto socket = plan.folder / socket_name;
  if (socket.string().size() > longest_socket_path)
    throw Error("the path of its socket is too long: " + socket.string());
  const bool is_root = ::geteuid() == 0;
  if (!is_root && plan.qemu.uid != ::geteuid())
    throw Error("QEMU runs as another account, which could not use the socket of this account's passt");
  make_folders(plan.folder, 0700);
  // Started by root passt first gives up root's rights, then becomes nobody, in the group that may enter the
  // job's folder: either makes files in there.
  if (is_root) set_mode(plan.folder, 0770, plan.group);
  constexpr int most_tries = 5;
  for (int tries = 1;; ++tries) {
    const auto port = free_port();
    const Program passt{.argv = command_line(plan, port),
                        .environment = {{"PATH", environment.non_empty("PATH").value_or("/usr/bin:/bin")}}};
    constexpr std::chrono::seconds enough(10);
    const auto result =
        run_program(passt, {.clock = clock, .cancellation = cancellation, .deadline = clock.now() + enough});
    if (result.succeeded()) {
      if (const auto process = process_of(plan.folder)) note_companion(record_of(plan.folder), *process);
      if (is_root) give_socket(socket, plan.qemu);
      return {.socket = socket, .port = port};
    }
    const auto why = complaint_of(result.errors);
    const bool was_taken = why.find("Failed to bind") != std::string::npos;
    if (was_taken && tries < most_tries) continue;
    const bool has_no_route = result.errors.find("No external routable interface") != std::string::npos;
    throw Error(has_no_route
                    ? std::string("this host has no default route, which passt needs ('ip route' shows the "
                                  "routes; with network = \"slirp\" guests do without)")
                    : "passt says " + quote(why));
  }
}

void stop_passt(const fs::path& folder) {
  // Whoever was killed between passt's start and our note of it has left what passt itself wrote.
  std::error_code ignored;
  if (!fs::exists(record_of(folder), ignored)) {
    const auto process = process_of(folder);
    if (!process) return;
    note_companion(record_of(folder), *process);
  }
  within("stop passt in " + folder.string(), [&] { end_companion(record_of(folder)); });
  remove_if_there(record_of(folder));
}

}  // namespace sarde
