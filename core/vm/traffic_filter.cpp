#include "core/vm/traffic_filter.hpp"

#include "core/foundation/error.hpp"

namespace sarde {

namespace {

constexpr auto of_libvirt = "clean-traffic";

/// A filter of ours. One that is changed gets another number: VMs of other versions may be using it.
struct OwnFilter {
  const char* name;
  const char* rules;
};

// $MAC is the network card's, $IP a parameter. Rules of lower priority come first.

/// Own MAC address only, whatever the protocol.
constexpr OwnFilter mac_filter{
    "sarde-executor-mac-1",
    R"(<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-800'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
)"};

/// Nothing but a question for an address, and its answer.
constexpr OwnFilter dhcp_filter{
    "sarde-executor-dhcp-1",
    R"(<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='accept' direction='in' priority='-700'><ip protocol='udp' srcportstart='67' dstportstart='68'/></rule>
<rule action='drop' direction='inout' priority='1000'/>
)"};

/// Own MAC address and this IPv4 address only; DHCP goes on.
constexpr OwnFilter address_filter{
    "sarde-executor-address-1",
    R"(<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='drop' direction='out' priority='-600'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-590'><arp match='no' arpsrcipaddr='$IP'/></rule>
<rule action='accept' direction='out' priority='-580'><arp arpsrcipaddr='$IP' arpsrcmacaddr='$MAC'/></rule>
<rule action='accept' direction='in' priority='-580'><arp/></rule>
<rule action='accept' direction='out' priority='-500'><ip srcipaddr='$IP'/></rule>
<rule action='accept' direction='in' priority='-500'><ip/></rule>
<rule action='drop' direction='inout' priority='1000'/>
)"};

/// The same for IPv4 only: IPv6, which other networks may have, goes on.
constexpr OwnFilter ipv4_filter{
    "sarde-executor-ipv4-1",
    R"(<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='drop' direction='out' priority='-600'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-590'><arp match='no' arpsrcipaddr='$IP'/></rule>
<rule action='drop' direction='out' priority='-500'><ip match='no' srcipaddr='$IP'/></rule>
)"};

/// Defines the filter, unless it is there. Another job may be quicker. Its name.
std::string define_once(NetworkFilters& filters, const OwnFilter& filter) {
  if (filters.has(filter.name)) return filter.name;
  try {
    filters.define(std::string("<filter name='") + filter.name + "' chain='root'>\n" + filter.rules +
                   "</filter>");
  } catch (const Error&) {
    if (!filters.has(filter.name)) throw;
  }
  return filter.name;
}

}  // namespace

TrafficFilter filter_without_address(NetworkFilters& filters, AddressSource source) {
  if (source == AddressSource::anybody) return {.name = define_once(filters, mac_filter), .source = source};
  if (filters.has(of_libvirt))
    return {.name = of_libvirt, .source = source, .parameters = {{"CTRL_IP_LEARNING", "dhcp"}}};
  return {.name = define_once(filters, dhcp_filter), .source = source};
}

TrafficFilter filter_with_address(NetworkFilters& filters, AddressSource source, const std::string& address) {
  TrafficFilter filter{.name = of_libvirt, .source = source, .parameters = {{"IP", address}}};
  if (source == AddressSource::anybody) {
    filter.name = define_once(filters, ipv4_filter);
  } else if (!filters.has(of_libvirt)) {
    filter.name = define_once(filters, address_filter);
  }
  return filter;
}

}  // namespace sarde
