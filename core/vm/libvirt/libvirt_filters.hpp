#pragma once

#include <string>

#include "core/vm/libvirt/libvirt_errors.hpp"
#include "core/vm/libvirt/libvirt_handles.hpp"
#include "core/vm/traffic_filter.hpp"

namespace sarde {

/// One connection's network filters.
class LibvirtFilters final : public NetworkFilters {
 public:
  explicit LibvirtFilters(const Connection& connection) : connection_(connection) {}

  bool has(const std::string& name) override {
    const Filter filter(virNWFilterLookupByName(connection_.get(), name.c_str()));
    return filter != nullptr;
  }

  void define(const std::string& filter_xml) override {
    const Filter filter(virNWFilterDefineXML(connection_.get(), filter_xml.c_str()));
    if (!filter) fail_libvirt("define a network filter");
  }

 private:
  const Connection& connection_;
};

}  // namespace sarde
