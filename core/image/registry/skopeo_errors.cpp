#include "core/image/registry/skopeo_errors.hpp"

#include <algorithm>
#include <array>

#include "core/foundation/text.hpp"
#include "core/image/registry/registry.hpp"

namespace sarde {

namespace {

struct Meaning {
  std::string_view fragment;  ///< in lower case
  Blame blame;
  std::string_view sentence;
  bool is_about_access = false;  ///< other credentials might do
};

constexpr bool about_access = true;

// In the order of their force: a registry may say several of these in one answer. The fragments are those of
// skopeo 1.9 and of the registries' error codes (OCI distribution specification, "Error Codes").
constexpr std::array meanings{
    Meaning{"manifest unknown", Blame::job, "the registry has no such image or tag; check the name"},
    Meaning{"name unknown", Blame::job, "the registry has no such repository; check the name"},
    Meaning{"source image rejected", Blame::job,
            "the signature policy does not accept it: it lacks a signature that is trusted here"},
    Meaning{"not logged into", Blame::job, "no credentials are stored for it"},
    Meaning{"invalid username/password", Blame::job, "the registry refused the credentials", about_access},
    Meaning{"unauthorized", Blame::job,
            "the registry wants other credentials: log in with 'sarde login', or give the job access",
            about_access},
    Meaning{"authentication required", Blame::job,
            "the registry wants credentials: log in with 'sarde login', or give the job access",
            about_access},
    Meaning{"requested access to the resource is denied", Blame::job,
            "the registry denies access to it with these credentials", about_access},
    Meaning{"403 (forbidden)", Blame::job, "the registry denies access to it with these credentials",
            about_access},
    Meaning{"denied", Blame::job, "the registry denies access to it with these credentials", about_access},
    Meaning{"server gave http response to https client", Blame::host,
            "the registry speaks plain HTTP: list it in insecure-registries if that is meant"},
    Meaning{
        "x509:", Blame::host,
        "its TLS certificate is not trusted: install its CA, or list the registry in insecure-registries"},
    Meaning{"exceeded maximum allowed size", Blame::job, "a document of the image is larger than any may be"},
    Meaning{"digest did not match", Blame::job,
            "the registry sends other content than the image's manifest says"},
    Meaning{"size mismatch when copying", Blame::job,
            "the registry sends other content than the image's manifest says"},
    Meaning{"blob unknown", Blame::job, "the registry lacks a part of the image; push it again"},
    Meaning{"no space left on device", Blame::host, "the disk is full"},
    Meaning{"connection refused", Blame::host, "nothing answers there: is the registry running?"},
    Meaning{"no such host", Blame::host, "the host's name is not known"},
    Meaning{"i/o timeout", Blame::host, "the registry did not answer in time"},
    Meaning{"toomanyrequests", Blame::host, "the registry limits the rate of requests; try later"},
};

/// The cause in skopeo's own words: the msg of its log line, which is the last.
std::string cause_in(std::string_view errors) {
  auto text = printable_tail(errors, 1);
  if (const auto at = text.find("msg=\""); at != std::string::npos) {
    text = text.substr(at + 5);
    if (text.ends_with('"')) text.pop_back();
    for (auto quote_at = text.find("\\\""); quote_at != std::string::npos;
         quote_at = text.find("\\\"", quote_at))
      text.erase(quote_at, 1);
  }
  return text;
}

/// Null if the words are none that are known.
const Meaning* meaning_of(const std::string& cause) {
  const auto text = lowered(cause);
  const auto* const found = std::ranges::find_if(
      meanings, [&](const Meaning& meaning) { return text.find(meaning.fragment) != std::string::npos; });
  return found == meanings.end() ? nullptr : found;
}

}  // namespace

Error explain_skopeo_failure(const std::string& doing, std::string_view errors) {
  const auto cause = cause_in(errors);
  if (const auto* meaning = meaning_of(cause))
    return {meaning->blame,
            doing + ": " + std::string(meaning->sentence) + " (skopeo: " + quote(cause, 600) + ")"};
  return Error(doing + ": skopeo says " + quote(cause, 600));
}

void throw_skopeo_failure(const std::string& doing, std::string_view errors) {
  const auto failure = explain_skopeo_failure(doing, errors);
  const auto* meaning = meaning_of(cause_in(errors));
  if (meaning != nullptr && meaning->is_about_access) throw AccessDenied(failure.what());
  throw failure;
}

}  // namespace sarde
