#include "core/image/skopeo_registry.hpp"

#include <algorithm>
#include <array>

#include "core/foundation/text.hpp"
#include "core/system/subprocess.hpp"

namespace sarde {

namespace {

struct Meaning {
  std::string_view fragment;  ///< in lower case
  Blame blame;
  std::string_view sentence;
};

// In the order of their force: a registry may say several of these in one answer. The fragments are those of
// skopeo 1.9 and of the registries' error codes (OCI distribution specification, "Error Codes").
constexpr std::array meanings{
    Meaning{"manifest unknown", Blame::job, "the registry has no such image or tag; check the name"},
    Meaning{"name unknown", Blame::job, "the registry has no such repository; check the name"},
    Meaning{"invalid username/password", Blame::job, "the registry refused the credentials"},
    Meaning{"unauthorized", Blame::job,
            "the registry wants other credentials: log in with 'sarde login', or give the job access"},
    Meaning{"authentication required", Blame::job,
            "the registry wants credentials: log in with 'sarde login', or give the job access"},
    Meaning{"requested access to the resource is denied", Blame::job,
            "the registry denies access to it with these credentials"},
    Meaning{"403 (forbidden)", Blame::job, "the registry denies access to it with these credentials"},
    Meaning{"denied", Blame::job, "the registry denies access to it with these credentials"},
    Meaning{"server gave http response to https client", Blame::host,
            "the registry speaks plain HTTP: list it in insecure-registries if that is meant"},
    Meaning{
        "x509:", Blame::host,
        "its TLS certificate is not trusted: install its CA, or list the registry in insecure-registries"},
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

class SkopeoRegistry final : public Registry {
 public:
  SkopeoRegistry(SkopeoSettings settings, const Environment& environment, Clock& clock,
                 Cancellation& cancellation)
      : settings_(std::move(settings)),
        environment_(environment),
        clock_(clock),
        cancellation_(cancellation) {}

  Descriptor fetch(const ImageReference& from, const OciLayout& into, const RegistryAccess& access) override {
    into.create();
    const auto folder = TempFolder::in(settings_.temporary_folder, "sarde-fetch-", 0700);
    copy("fetch " + quote(from.text()),
         {"--src-tls-verify=" + verify(from), "--dest-shared-blob-dir", (into.folder() / "blobs").string()},
         "docker://" + from.transport_text(), "oci:" + folder.path().string() + ":image", access);
    const auto fetched = OciLayout(folder.path()).find("image");
    if (!fetched) throw Error("fetch " + quote(from.text()) + ": skopeo left no manifest behind");
    return *fetched;
  }

  void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
            const RegistryAccess& access) override {
    const auto folder = TempFolder::in(settings_.temporary_folder, "sarde-push-", 0700);
    write_single_index(folder.path(), {.manifest = manifest, .tag = "image"});
    copy("push to " + quote(to.text()),
         {"--dest-tls-verify=" + verify(to), "--src-shared-blob-dir", (from.folder() / "blobs").string()},
         "oci:" + folder.path().string() + ":image", "docker://" + to.transport_text(), access);
  }

 private:
  [[nodiscard]] std::string verify(const ImageReference& reference) const {
    const auto listed = std::ranges::find(settings_.insecure_registries, reference.registry());
    return settings_.insecure || listed != settings_.insecure_registries.end() ? "false" : "true";
  }

  void copy(const std::string& doing, const std::vector<std::string>& options, const std::string& from,
            const std::string& to, const RegistryAccess& access) {
    std::vector<std::string> argv{"skopeo", "--tmpdir", settings_.temporary_folder.string(), "copy",
                                  "--quiet"};
    argv.insert(argv.end(), options.begin(), options.end());
    if (access.authfile) argv.insert(argv.end(), {"--authfile", access.authfile->string()});
    argv.insert(argv.end(), {from, to});
    const auto& all = environment_.all();
    const Program skopeo{.argv = std::move(argv), .environment = {all.begin(), all.end()}};
    const auto result = within(doing, [&] {
      return run_program(skopeo, {.clock = clock_,
                                  .cancellation = cancellation_,
                                  .deadline = clock_.now() + settings_.timeout,
                                  .heartbeat = access.heartbeat});
    });
    if (result.signal != 0)
      throw Error(doing + ": skopeo was killed by signal " + std::to_string(result.signal));
    if (!result.succeeded()) throw explain_skopeo_failure(doing, result.errors);
  }

  SkopeoSettings settings_;
  const Environment& environment_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace

Error explain_skopeo_failure(const std::string& doing, std::string_view errors) {
  const auto cause = cause_in(errors);
  auto lowered = cause;
  std::ranges::transform(lowered, lowered.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& meaning : meanings) {
    if (lowered.find(meaning.fragment) == std::string::npos) continue;
    return {meaning.blame,
            doing + ": " + std::string(meaning.sentence) + " (skopeo: " + quote(cause, 600) + ")"};
  }
  return Error(doing + ": skopeo says " + quote(cause, 600));
}

std::unique_ptr<Registry> make_skopeo_registry(SkopeoSettings settings, const Environment& environment,
                                               Clock& clock, Cancellation& cancellation) {
  return std::make_unique<SkopeoRegistry>(std::move(settings), environment, clock, cancellation);
}

}  // namespace sarde
