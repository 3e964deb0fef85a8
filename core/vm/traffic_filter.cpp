#include "core/vm/traffic_filter.hpp"

#include "core/foundation/error.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde {

namespace {

constexpr auto of_libvirt = "clean-traffic";

// $MAC is the network card's, $IP a parameter. Rules of lower priority come first. A filter that is changed
// gets another number: VMs of other versions may be using it.

/// Own MAC address only, whatever the protocol.
constexpr auto mac_filter = R"(<filter name='sarde-executor-mac-1' chain='root'>
<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-800'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
</filter>)";

/// Nothing but a question for an address, and its answer.
constexpr auto dhcp_filter = R"(<filter name='sarde-executor-dhcp-1' chain='root'>
<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='accept' direction='in' priority='-700'><ip protocol='udp' srcportstart='67' dstportstart='68'/></rule>
<rule action='drop' direction='inout' priority='1000'/>
</filter>)";

/// Own MAC address and this IPv4 address only; DHCP goes on.
constexpr auto address_filter = R"(<filter name='sarde-executor-address-1' chain='root'>
<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='drop' direction='out' priority='-600'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-590'><arp match='no' arpsrcipaddr='$IP'/></rule>
<rule action='accept' direction='out' priority='-580'><arp arpsrcipaddr='$IP' arpsrcmacaddr='$MAC'/></rule>
<rule action='accept' direction='in' priority='-580'><arp/></rule>
<rule action='accept' direction='out' priority='-500'><ip srcipaddr='$IP'/></rule>
<rule action='accept' direction='in' priority='-500'><ip/></rule>
<rule action='drop' direction='inout' priority='1000'/>
</filter>)";

/// The same for IPv4 only: IPv6, which other networks may have, goes on.
constexpr auto ipv4_filter = R"(<filter name='sarde-executor-ipv4-1' chain='root'>
<rule action='drop' direction='out' priority='-900'><mac match='no' srcmacaddr='$MAC'/></rule>
<rule action='accept' direction='out' priority='-700'><ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
<rule action='drop' direction='out' priority='-600'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
<rule action='drop' direction='out' priority='-590'><arp match='no' arpsrcipaddr='$IP'/></rule>
<rule action='drop' direction='out' priority='-500'><ip match='no' srcipaddr='$IP'/></rule>
</filter>)";

/// Unless it is there. Another job may be quicker.
void define_once(Hypervisor& hypervisor, const std::string& name, const std::string& filter_xml) {
  if (hypervisor.has_network_filter(name)) return;
  try {
    hypervisor.define_network_filter(filter_xml);
  } catch (const Error&) {
    if (!hypervisor.has_network_filter(name)) throw;
  }
}

}  // namespace

TrafficFilter filter_without_address(Hypervisor& hypervisor, AddressSource source) {
  if (source == AddressSource::anybody) {
    define_once(hypervisor, "sarde-executor-mac-1", mac_filter);
    return {.name = "sarde-executor-mac-1", .source = source};
  }
  if (hypervisor.has_network_filter(of_libvirt))
    return {.name = of_libvirt, .source = source, .parameters = {{"CTRL_IP_LEARNING", "dhcp"}}};
  define_once(hypervisor, "sarde-executor-dhcp-1", dhcp_filter);
  return {.name = "sarde-executor-dhcp-1", .source = source};
}

TrafficFilter filter_with_address(Hypervisor& hypervisor, AddressSource source, const std::string& address) {
  TrafficFilter filter{.name = of_libvirt, .source = source, .parameters = {{"IP", address}}};
  if (source == AddressSource::anybody) {
    filter.name = "sarde-executor-ipv4-1";
    define_once(hypervisor, filter.name, ipv4_filter);
  } else if (!hypervisor.has_network_filter(of_libvirt)) {
    filter.name = "sarde-executor-address-1";
    define_once(hypervisor, filter.name, address_filter);
  }
  return filter;
}

}  // namespace sarde
