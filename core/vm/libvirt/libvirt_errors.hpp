#pragma once

#include <string>

namespace sarde {

// libvirt keeps one last error per thread, which any further call in this thread clears, even one that frees
// something. So each of these is the first call after the one that failed.

std::string last_error_text();

/// `code`: a virErrorNumber.
bool last_error_is(int code);

/// Throws with libvirt's last error, the host's fault.
[[noreturn]] void fail_libvirt(const std::string& doing);

/// The same after an order that has a domain in it: what libvirt says of the domain itself is the job's
/// fault.
[[noreturn]] void fail_with_domain(const std::string& doing);

/// The text that libvirt allocated, or fail_libvirt() if it is null.
std::string taken(char* text, const std::string& doing);

}  // namespace sarde
