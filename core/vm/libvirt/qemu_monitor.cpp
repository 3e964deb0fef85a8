#include "core/vm/libvirt/qemu_monitor.hpp"

#include <libvirt/libvirt-qemu.h>

#include "core/vm/libvirt/libvirt_errors.hpp"

namespace sarde {

using nlohmann::json;

namespace {

/// What QEMU answers; Error if that is an error.
json answer_of(const char* text, const std::string& doing) {
  return read_json(text, "QEMU's answer", Blame::host, [&](const json& answer) {
    if (answer.contains("error"))
      throw Error(doing + ": QEMU says " + quote(answer.at("error").value("desc", "")));
    return answer.at("return");
  });
}

}  // namespace

json tell_qemu(const Domain& domain, const json& order, const std::string& doing) {
  char* answer = nullptr;
  if (virDomainQemuMonitorCommand(domain.get(), order.dump().c_str(), &answer, 0) != 0) fail_libvirt(doing);
  const CText text(answer);
  return answer_of(text.get(), doing);
}

void give_qemu_file(const Domain& domain, int fd, const std::string& name, const std::string& doing) {
  const auto order = json{{"execute", "getfd"}, {"arguments", {{"fdname", name}}}}.dump();
  char* answer = nullptr;
  if (virDomainQemuMonitorCommandWithFiles(domain.get(), order.c_str(), 1, &fd, nullptr, nullptr, &answer,
                                           0) != 0)
    fail_libvirt(doing);
  const CText text(answer);
  answer_of(text.get(), doing);
}

}  // namespace sarde
