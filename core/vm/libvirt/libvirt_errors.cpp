#include "core/vm/libvirt/libvirt_errors.hpp"

#include <algorithm>
#include <array>

#include <libvirt/virterror.h>

#include "core/foundation/error.hpp"
#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

namespace {

/// libvirt's answers to a domain that is wrong in itself, or asks for what this host's QEMU does not have.
/// Domains come from images, so these are a job's fault: trying again would not help.
constexpr std::array about_the_domain{
    VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL, VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_CONFIG_UNSUPPORTED,
    VIR_ERR_OS_TYPE,   VIR_ERR_NO_OS,      VIR_ERR_INVALID_ARG};

}  // namespace

std::string last_error_text() {
  const virError* error = virGetLastError();
  return error != nullptr && error->message != nullptr ? error->message : "libvirt gives no reason";
}

void fail_libvirt(const std::string& doing) {
  throw Error(doing + ": " + last_error_text());
}

void fail_with_domain(const std::string& doing) {
  const virError* error = virGetLastError();
  const bool is_about_it =
      error != nullptr && std::ranges::find(about_the_domain, error->code) != about_the_domain.end();
  throw Error(is_about_it ? Blame::job : Blame::host, doing + ": " + last_error_text());
}

bool last_error_is(int code) {
  const virError* error = virGetLastError();
  return error != nullptr && error->code == code;
}

std::string taken(char* text, const std::string& doing) {
  const CText owner(text);
  if (!owner) fail_libvirt(doing);
  return owner.get();
}

}  // namespace sarde
