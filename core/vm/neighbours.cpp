#include "core/vm/neighbours.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

void ask_for(const in_addr& address) {
  constexpr std::uint16_t discard = 9;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(discard);
  to.sin_addr = address;
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd) static_cast<void>(::sendto(fd.get(), "", 0, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to));
}

}  // namespace

bool is_neighbour(const std::string& address, const std::string& mac_address) {
  in_addr parsed{};
  if (::inet_pton(AF_INET, address.c_str(), &parsed) != 1) return false;
  ask_for(parsed);
  // IP address       HW type     Flags       HW address            Mask     Device
  const auto table = read_proc_file("/proc/net/arp").value_or("");
  const auto lines = split(table, '\n');
  return std::ranges::any_of(lines, [&](const std::string& line) {
    return line.starts_with(address + " ") && line.find(" " + mac_address + " ") != std::string::npos;
  });
}

}  // namespace sarde
