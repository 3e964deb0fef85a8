#include "core/image/registry/skopeo_registry.hpp"

#include <algorithm>
#include <array>
#include <sys/utsname.h>

#include "core/foundation/host_name.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"

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
    Meaning{"not logged into", Blame::job, "no credentials are kept for it"},
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

/// What comes into a layout, held against what the manifest says will come.
class Arrivals {
 public:
  Arrivals(const OciLayout& into, std::filesystem::path incoming, const Manifest& manifest)
      : into_(into), incoming_(std::move(incoming)) {
    auto blobs = manifest.layers;
    blobs.push_back(manifest.config);
    for (const auto& blob : blobs) {
      std::error_code error;
      if (std::filesystem::exists(into_.blob(blob.digest), error)) continue;
      total_ += blob.size;
      largest_ = std::max(largest_, blob.size);
      missing_.push_back(blob);
    }
  }

  [[nodiscard]] std::uint64_t total() const { return total_; }

  [[nodiscard]] std::uint64_t done() const {
    auto bytes = sizes_under_way().total;
    std::error_code error;
    for (const auto& blob : missing_) {
      if (std::filesystem::exists(into_.blob(blob.digest), error)) bytes += blob.size;
    }
    return std::min(bytes, total_);
  }

  /// Throws Error (the job's fault) once more is under way than was announced.
  void check() const {
    const auto now = sizes_under_way();
    if (now.largest > largest_ || now.total > total_)
      throw Error(Blame::job, "the registry sends more than the image's manifest says: " +
                                  size_text(now.total) + " of " + size_text(total_));
  }

 private:
  struct Sizes {
    std::uint64_t total = 0;
    std::uint64_t largest = 0;
  };

  /// Of the files in which skopeo collects blobs.
  [[nodiscard]] Sizes sizes_under_way() const {
    Sizes sizes;
    for (const auto& file : folder_entries(incoming_)) {
      std::error_code error;
      const auto size = std::filesystem::file_size(file, error);
      if (error || !file.filename().string().starts_with("oci-put-blob")) continue;
      sizes.total += size;
      sizes.largest = std::max<std::uint64_t>(sizes.largest, size);
    }
    return sizes;
  }

  const OciLayout& into_;
  std::filesystem::path incoming_;
  std::vector<Descriptor> missing_;
  std::uint64_t total_ = 0;
  std::uint64_t largest_ = 0;
};

/// This host's, as Go calls it.
std::string host_architecture() {
  utsname name{};
  return ::uname(&name) == 0 ? go_architecture(name.machine) : "amd64";
}

std::vector<std::string> joined(std::vector<std::string> words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Bytes that a process has read so far (proc(5), /proc/[pid]/io); 0 where that is not told.
std::uint64_t bytes_read_by(int pid) {
  const auto text = read_proc_file("/proc/" + std::to_string(pid) + "/io").value_or("");
  constexpr std::string_view key = "rchar: ";
  const auto line = split(text, '\n').front();
  return line.starts_with(key) ? parse_number(std::string_view(line).substr(key.size())).value_or(0) : 0;
}

class SkopeoRegistry final : public Registry {
 public:
  SkopeoRegistry(SkopeoSettings settings, const Environment& environment, Clock& clock,
                 Cancellation& cancellation)
      : settings_(std::move(settings)),
        environment_(environment),
        clock_(clock),
        cancellation_(cancellation) {}

  AnnouncedImage announce(const ImageReference& from, const RegistryAccess& access) override {
    const auto what = "the manifest of " + quote(from.text());
    auto text = raw_manifest(from, access);
    if (is_index(text)) {
      const auto chosen = choose_platform(text, host_architecture(), what);
      text = raw_manifest(from.with_digest(chosen.manifest.digest), access);
      if (is_index(text)) throw Error(Blame::job, "read " + what + ": it is an index of indexes");
    }
    AnnouncedImage announced{.digest = Digest::of(text), .manifest = parse_manifest(text, what)};
    static_cast<void>(vm_layers(announced.manifest, what));
    return announced;
  }

  Descriptor fetch(const ImageReference& from, const AnnouncedImage& announced, const OciLayout& into,
                   const std::optional<Descriptor>& known, const RegistryAccess& access) override {
    // Under a policy of its own the signatures are looked at each time.
    const bool same = known && known->digest == announced.digest;
    if (same && settings_.signature_policy.empty() && into.holds(announced.manifest)) return *known;
    return bring(from, announced, into, access);
  }

  Descriptor fetch_description(const ImageReference& from, const AnnouncedImage& announced,
                               const OciLayout& into, const RegistryAccess& access) override {
    into.create();
    // skopeo brings no blob that is there, and looks at no more than its name and size.
    for (const auto& disk : vm_layers(announced.manifest, from.text()).disks) {
      for (const auto& chunk : disk.chunks) {
        cancellation_.check();
        make_sparse_file(into.blob(chunk.digest), chunk.size);
      }
    }
    return bring(from, announced, into, access);
  }

  void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
            const RegistryAccess& access) override {
    const auto folder = temporary_folder("push");
    std::uint64_t total = manifest.size;
    for (const auto& blob : parse_manifest(from.read_blob(manifest), "the manifest").layers)
      total += blob.size;
    write_single_index(folder.path(), {.manifest = manifest, .tag = "image"});
    copy("push to " + quote(to.text()),
         joined({"--src-shared-blob-dir", (from.folder() / "blobs").string()},
                tls("--dest-tls-verify", to.asked_registry())),
         "oci:" + folder.path().string() + ":image", "docker://" + to.transport_text(), access,
         [&](const RunningProgram& skopeo) {
           if (access.progress) access.progress(std::min(bytes_read_by(skopeo.pid), total), total);
         });
  }

  void login(const std::string& registry, const std::string& username, const Secret& password) override {
    const auto file = settings_.authfile.empty() ? lasting_authfile() : settings_.authfile;
    make_folders(file.parent_path(), 0700);
    run("log in at " + quote(registry),
        joined(joined({"login", "--authfile", file.string(), "--username", username, "--password-stdin"},
                      tls("--tls-verify", registry)),
               {registry}),
        password.reveal(), {});
  }

  void logout(const std::string& registry) override {
    // Of two places that skopeo reads, one may hold what skopeo itself was told.
    const auto which = registry == "*" ? std::string("--all") : registry;
    std::vector<std::filesystem::path> files{settings_.authfile};
    if (settings_.authfile.empty()) files.push_back(lasting_authfile());
    std::optional<Error> failure;
    std::size_t done = 0;
    for (const auto& file : files) {
      std::error_code ignored;
      if (!file.empty() && !std::filesystem::exists(file, ignored)) continue;
      std::vector<std::string> arguments{"logout"};
      if (!file.empty()) arguments.insert(arguments.end(), {"--authfile", file.string()});
      arguments.push_back(which);
      try {
        run("log out from " + quote(registry), arguments, "", {});
        ++done;
      } catch (const Error& error) {
        failure = error;
      }
    }
    if (done == 0 && failure) throw *failure;
    if (done == 0)
      throw Error(Blame::job, "log out from " + quote(registry) + ": no credentials are kept for it");
  }

 private:
  using Heartbeat = std::function<void(const RunningProgram&)>;

  /// `option`=false for registries that may be spoken to so; else skopeo's own files decide
  /// (containers-registries.conf(5)).
  [[nodiscard]] std::vector<std::string> tls(const std::string& option, const std::string& registry) const {
    const bool is_listed = std::ranges::any_of(settings_.insecure_registries, [&](const std::string& listed) {
      return canonical_host(listed) == canonical_host(registry);
    });
    if (!settings_.insecure && !is_listed) return {};
    return {option + "=false"};
  }

  /// Where credentials survive a reboot, and where skopeo and podman look for them too
  /// (containers-auth.json(5)).
  [[nodiscard]] std::filesystem::path lasting_authfile() const {
    if (const auto given = environment_.non_empty("REGISTRY_AUTH_FILE")) return *given;
    return std::filesystem::path(environment_.non_empty("HOME").value_or("/root")) / ".config" /
           "containers" / "auth.json";
  }

  [[nodiscard]] TempFolder temporary_folder(const std::string& what) const {
    const auto& parent = settings_.temporary_folder;
    if (parent.string().find(':') != std::string::npos)
      throw Error(Blame::job, parent.string() +
                                  ": skopeo cannot use a folder with a colon in its path; "
                                  "choose another ocidir");
    make_folders(parent, 0700);
    return TempFolder::in(parent, ".sarde-" + what + "-", 0700);
  }

  /// As the registry has it.
  std::string raw_manifest(const ImageReference& from, const RegistryAccess& access) {
    auto arguments = joined({"inspect", "--raw"}, tls("--tls-verify", from.asked_registry()));
    add_authfile(arguments, access);
    arguments.push_back("docker://" + from.transport_text());
    auto text = run("fetch " + quote(from.text()), arguments, "", {});
    if (from.digest() && Digest::of(text) != *from.digest())
      throw Error("fetch " + quote(from.text()) + ": the registry answers with another manifest, " +
                  Digest::of(text).text());
    return text;
  }

  /// What was announced, whatever the tag stands for by now.
  Descriptor bring(const ImageReference& named, const AnnouncedImage& announced, const OciLayout& into,
                   const RegistryAccess& access) {
    into.create();
    const auto from = named.with_digest(announced.digest);
    const auto doing = "fetch " + quote(named.text());
    const auto folder = temporary_folder("fetch");
    const Arrivals arrivals(into, folder.path(), announced.manifest);
    // Signatures have been looked at by then; a layout cannot keep them.
    copy(doing,
         joined({"--remove-signatures", "--preserve-digests", "--dest-shared-blob-dir",
                 (into.folder() / "blobs").string()},
                tls("--src-tls-verify", from.asked_registry())),
         "docker://" + from.transport_text(), "oci:" + folder.path().string() + ":image", access,
         [&](const RunningProgram& /*skopeo*/) {
           arrivals.check();
           if (access.progress) access.progress(arrivals.done(), arrivals.total());
         });
    const auto fetched = OciLayout(folder.path()).find("image");
    if (!fetched) throw Error(doing + ": skopeo left no manifest behind");
    if (fetched->manifest.digest != announced.digest)
      throw Error(doing + ": skopeo brought another manifest, " + fetched->manifest.digest.text());
    return fetched->manifest;
  }

  void copy(const std::string& doing, const std::vector<std::string>& options, const std::string& from,
            const std::string& to, const RegistryAccess& access, const Heartbeat& heartbeat) {
    std::vector<std::string> arguments{"--tmpdir", settings_.temporary_folder.string()};
    if (!settings_.signature_policy.empty())
      arguments.insert(arguments.end(), {"--policy", settings_.signature_policy.string()});
    arguments.insert(arguments.end(), {"copy", "--quiet"});
    arguments.insert(arguments.end(), options.begin(), options.end());
    add_authfile(arguments, access);
    arguments.insert(arguments.end(), {from, to});
    static_cast<void>(run(doing, arguments, "", heartbeat));
  }

  void add_authfile(std::vector<std::string>& arguments, const RegistryAccess& access) const {
    const auto& file = access.authfile ? *access.authfile : settings_.authfile;
    if (!file.empty()) arguments.insert(arguments.end(), {"--authfile", file.string()});
  }

  /// Returns what skopeo wrote to its standard output.
  std::string run(const std::string& doing, const std::vector<std::string>& arguments,
                  const std::string& input, const Heartbeat& heartbeat) {
    const auto& all = environment_.all();
    Program skopeo{.argv = {"skopeo"}, .environment = {all.begin(), all.end()}, .input = input};
    skopeo.argv.insert(skopeo.argv.end(), arguments.begin(), arguments.end());
    const auto result = within(doing, [&] {
      return run_program(skopeo, {.clock = clock_,
                                  .cancellation = cancellation_,
                                  .deadline = clock_.now() + settings_.timeout,
                                  .heartbeat = heartbeat,
                                  .heartbeat_every = std::chrono::milliseconds(100)});
    });
    if (result.signal != 0)
      throw Error(doing + ": skopeo was killed by signal " + std::to_string(result.signal));
    if (result.succeeded()) return result.output;
    const auto failure = explain_skopeo_failure(doing, result.errors);
    const auto* meaning = meaning_of(cause_in(result.errors));
    if (meaning != nullptr && meaning->is_about_access) throw AccessDenied(failure.what());
    throw failure;
  }

  SkopeoSettings settings_;
  const Environment& environment_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace

Error explain_skopeo_failure(const std::string& doing, std::string_view errors) {
  const auto cause = cause_in(errors);
  if (const auto* meaning = meaning_of(cause))
    return {meaning->blame,
            doing + ": " + std::string(meaning->sentence) + " (skopeo: " + quote(cause, 600) + ")"};
  return Error(doing + ": skopeo says " + quote(cause, 600));
}

std::unique_ptr<Registry> make_skopeo_registry(SkopeoSettings settings, const Environment& environment,
                                               Clock& clock, Cancellation& cancellation) {
  return std::make_unique<SkopeoRegistry>(std::move(settings), environment, clock, cancellation);
}

}  // namespace sarde
