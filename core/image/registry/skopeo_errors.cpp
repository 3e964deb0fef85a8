#include "core/image/registry/skopeo_errors.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/text.hpp"
#include "core/image/registry/registry.hpp"

namespace sarde {

namespace {

using enum Repetition;

struct Meaning {
  std::string_view fragment;  ///< in lower case
  Blame blame;
  std::string_view sentence;
  Repetition repetition = useless;
  bool is_about_access = false;
};

constexpr bool about_access = true;
constexpr std::string_view other_content = "the registry sends other content than the image's manifest says";
constexpr std::string_view access_is_denied = "the registry denies access to it with these credentials";
constexpr std::string_view lacks_signature =
    "the signature policy does not accept it: it lacks a signature that is trusted here";
constexpr std::string_view broken = "the connection to the registry broke";

// In the order of their force: a registry may say several of these in one answer. The fragments are those of
// skopeo 1.9, of the registries' error codes (OCI distribution specification, "Error Codes"), and of what
// Harbor, GitLab, Quay and ECR add to them.
constexpr std::array meanings{
    Meaning{"permission denied", Blame::host, "this account may not read or write a file that it needs"},
    Meaning{"read-only file system", Blame::host, "a file system of this host is read-only"},
    Meaning{"disk quota exceeded", Blame::host, "this account's disk quota is used up"},
    Meaning{"no space left on device", Blame::host, "the disk is full"},
    Meaning{"blocked in", Blame::host, "registries.conf on this machine blocks this registry"},
    Meaning{"manifest unknown", Blame::job, "the registry has no such image or tag; check the name"},
    Meaning{
        "name unknown", Blame::job,
        "the registry has no such repository; check the name (some registries want a repository to be made "
        "before anything is pushed to it)"},
    Meaning{"source image rejected", Blame::job, lacks_signature},
    Meaning{"signature was required", Blame::job, lacks_signature},
    Meaning{"rejected by policy", Blame::job, lacks_signature},
    Meaning{"not logged into", Blame::job, "no credentials are stored for it"},
    Meaning{"quota", Blame::job, "the registry has no room left for it: its quota is used up"},
    Meaning{"exceed the configured upper limit", Blame::job,
            "the registry has no room left for it: its quota is used up"},
    Meaning{"immutable", Blame::job,
            "the registry does not let this tag be replaced; push under another tag"},
    Meaning{"cannot be overwritten", Blame::job,
            "the registry does not let this tag be replaced; push under another tag"},
    Meaning{"read only", Blame::job, "the registry is read-only at present"},
    Meaning{"read-only", Blame::job, "the registry is read-only at present"},
    Meaning{"toomanyrequests", Blame::host, "the registry limits the rate of requests", patient},
    Meaning{"too many requests", Blame::host, "the registry limits the rate of requests", patient},
    Meaning{"pull rate limit", Blame::host, "the registry limits the rate of requests", patient},
    Meaning{"invalid username/password", Blame::job, "the registry refused the credentials", useless,
            about_access},
    Meaning{"unauthorized", Blame::job,
            "the registry wants other credentials: log in with 'sarde login', or give the job access",
            useless, about_access},
    Meaning{"authentication required", Blame::job,
            "the registry wants credentials: log in with 'sarde login', or give the job access", useless,
            about_access},
    Meaning{"requested access to the resource is denied", Blame::job, access_is_denied, useless,
            about_access},
    Meaning{"403 (forbidden)", Blame::job, access_is_denied, useless, about_access},
    Meaning{"denied", Blame::job, access_is_denied, useless, about_access},
    Meaning{"server gave http response to https client", Blame::host,
            "the registry speaks plain HTTP: list it in insecure-registries if that is meant"},
    Meaning{
        "x509:", Blame::host,
        "its TLS certificate is not trusted: install its CA, or list the registry in insecure-registries"},
    Meaning{"exceeded maximum allowed size", Blame::job, "a document of the image is larger than any may be"},
    Meaning{"digest did not match", Blame::job, other_content},
    Meaning{"corrupted blob", Blame::job, other_content},
    Meaning{"bytes in blob, got", Blame::job, other_content},
    Meaning{"size mismatch when copying", Blame::job, other_content},
    Meaning{"blob unknown", Blame::job, "the registry lacks a part of the image; push it again"},
    Meaning{"connection refused", Blame::host, "nothing answers there: is the registry running?", brief},
    Meaning{"no route to host", Blame::host, "nothing answers there: is the network up?", brief},
    Meaning{"network is unreachable", Blame::host, "nothing answers there: is the network up?", brief},
    Meaning{"no such host", Blame::host, "the host's name is not known"},
    Meaning{"temporary failure in name resolution", Blame::host,
            "the host's name cannot be resolved at present", brief},
    Meaning{"server misbehaving", Blame::host, "the host's name cannot be resolved at present", brief},
    Meaning{"i/o timeout", Blame::host, "the registry did not answer in time", patient},
    Meaning{"handshake timeout", Blame::host, "the registry did not answer in time", patient},
    Meaning{"timeout awaiting response", Blame::host, "the registry did not answer in time", patient},
    Meaning{"connection reset", Blame::host, broken, patient},
    Meaning{"connection timed out", Blame::host, broken, patient},
    Meaning{"broken pipe", Blame::host, broken, patient},
    Meaning{"unexpected eof", Blame::host, broken, patient},
    Meaning{"server closed idle connection", Blame::host, broken, patient},
    Meaning{"stream error", Blame::host, broken, patient},
    Meaning{"goaway", Blame::host, broken, patient},
    Meaning{"skopeo has ended", Blame::host, "skopeo was killed, or has failed", brief},
};

/// What a status of HTTP means (RFC 9110) where nothing else was said.
struct StatusMeaning {
  unsigned status;
  Blame blame;
  std::string_view sentence;
  Repetition repetition = useless;
};

constexpr std::array status_meanings{
    StatusMeaning{401, Blame::job, "the registry wants other credentials"},
    StatusMeaning{403, Blame::job, access_is_denied},
    StatusMeaning{404, Blame::job, "the registry does not have it, or lacks a part of it; check the name"},
    StatusMeaning{405, Blame::job, "the registry does not let this be done: it is read-only"},
    StatusMeaning{408, Blame::host, "the registry took too long", patient},
    StatusMeaning{413, Blame::job, "a proxy before the registry limits the size of what is uploaded"},
    StatusMeaning{425, Blame::host, "the registry wants to be asked later", patient},
    StatusMeaning{429, Blame::host, "the registry limits the rate of requests", patient},
    StatusMeaning{500, Blame::host, "the registry has failed", patient},
    StatusMeaning{502, Blame::host, "the registry cannot be reached behind its proxy", patient},
    StatusMeaning{503, Blame::host, "the registry is busy or being restarted", patient},
    StatusMeaning{504, Blame::host, "the registry does not answer its proxy in time", patient},
    StatusMeaning{507, Blame::host, "the registry's disk is full"},
};

/// The status in words like "received unexpected HTTP status: 502 Bad Gateway", "StatusCode: 413, …" and
/// "invalid status code from registry 503 (…)"; in lower case.
std::optional<std::uint64_t> status_in(std::string_view text) {
  for (const std::string_view before : {"http status: ", "statuscode: ", "status code from registry "}) {
    const auto at = text.find(before);
    if (at == text.npos) continue;
    return parse_number(text.substr(at + before.size(), 3));
  }
  return std::nullopt;
}

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

/// In lower case, without names of images, tags, hosts and files, which may contain any of the words that are
/// looked for.
std::string without_names(std::string_view cause) {
  std::vector<std::string> kept;
  std::string before;
  for (const auto& word : split(lowered(cause), ' ')) {
    const bool is_tag = before == "manifest" && word.find(':') == std::string::npos && word != "unknown";
    const auto dot = word.find('.');
    const bool is_word = word == "i/o" || word.starts_with("username/password");
    const bool is_name = (word.find('/') != std::string::npos && !is_word) ||
                         word.find('"') != std::string::npos ||
                         (dot != std::string::npos && dot + 1 < word.size());
    before = word;
    if (is_tag) continue;
    if (!is_name) {
      kept.push_back(word);
    } else if (word.ends_with(':') && !kept.empty()) {
      kept.back() += ':';  // what follows is still an answer
    }
  }
  return join(kept, " ");
}

SkopeoFailure meaning_of(const std::string& cause) {
  const auto text = without_names(cause);
  const auto status = status_in(text);
  const auto* const meaning = std::ranges::find_if(
      meanings, [&](const Meaning& one) { return text.find(one.fragment) != text.npos; });
  if (meaning != meanings.end())
    return {.cause = std::string(meaning->sentence),
            .blame = meaning->blame,
            .is_about_access = meaning->is_about_access,
            .repetition = meaning->repetition};
  const auto* const known =
      std::ranges::find_if(status_meanings, [&](const StatusMeaning& one) { return one.status == status; });
  if (known != status_meanings.end())
    return {.cause = std::string(known->sentence),
            .blame = known->blame,
            .is_about_access = known->status == 401 || known->status == 403,
            .is_about_size = known->status == 413,
            .repetition = known->repetition};
  if (text.ends_with(": unsupported"))
    return {.cause = "the registry takes no uploads: it is read-only", .blame = Blame::job};
  // Go's word for a connection that ends where an answer is due, at the end of a message.
  if (text.ends_with(": eof")) return {.cause = std::string(broken), .repetition = patient};
  return {};
}

}  // namespace

SkopeoFailure explain_skopeo_failure(std::string_view errors) {
  const auto said = cause_in(errors);
  auto failure = meaning_of(said);
  failure.cause = failure.cause.empty() ? "skopeo says " + quote(said, 600)
                                        : failure.cause + " (skopeo: " + quote(said, 600) + ")";
  return failure;
}

void SkopeoFailure::raise(const std::string& doing) const {
  if (is_about_access) throw AccessDenied(doing + ": " + cause);
  throw Error(blame, doing + ": " + cause);
}

}  // namespace sarde
