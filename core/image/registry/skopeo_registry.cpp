#include "core/image/registry/skopeo_registry.hpp"

#include <algorithm>
#include <functional>
#include <sys/utsname.h>
#include <type_traits>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/arrivals.hpp"
#include "core/image/registry/credential_store.hpp"
#include "core/image/registry/proxy_blobs.hpp"
#include "core/image/registry/proxy_session.hpp"
#include "core/image/registry/registry_auth.hpp"
#include "core/image/registry/signature_policy.hpp"
#include "core/image/registry/skopeo_logins.hpp"
#include "core/image/registry/skopeo_program.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace {

/// This host's, as Go calls it.
std::string host_architecture() {
  utsname name{};
  return ::uname(&name) == 0 ? go_architecture(name.machine) : "amd64";
}

std::vector<std::string> joined(std::vector<std::string> words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// An upload that is too large for a proxy: skopeo does not say which it was, but the largest is among them.
void name_the_largest(SkopeoFailure& failure, const std::vector<Descriptor>& layers) {
  if (!failure.is_about_size || layers.empty()) return;
  const auto largest = std::ranges::max_element(layers, {}, &Descriptor::size);
  failure.cause += "; the image's largest layer is " + largest->digest.text() + " with " +
                   size_text(largest->size) +
                   ": export the image again with a --chunksize below the limit, or raise the proxy's limit "
                   "(nginx: client_max_body_size)";
}

/// Bytes that a process has read so far (proc(5), /proc/[pid]/io); 0 where that is not told.
std::uint64_t bytes_read_by(int pid) {
  const auto text = read_proc_file("/proc/" + std::to_string(pid) + "/io").value_or("");
  constexpr std::string_view key = "rchar: ";
  const auto line = split(text, '\n').front();
  return line.starts_with(key) ? parse_number(std::string_view(line).substr(key.size())).value_or(0) : 0;
}

/// The small blobs of an image, in a folder of their own.
class Description final : public BlobSource {
 public:
  explicit Description(TempFolder folder)
      : folder_(std::move(folder)), layout_(folder_.path()), blobs_(layout_) {}

  std::unique_ptr<BlobReader> open(const Descriptor& blob) override { return blobs_.open(blob); }

 private:
  TempFolder folder_;
  OciLayout layout_;
  LayoutBlobs blobs_;
};

/// Whether no layer of a disk is among them.
bool is_description(const AnnouncedImage& announced, const std::vector<Descriptor>& expected) {
  const auto on_disks = digests_of(vm_layers(announced.manifest, "the manifest").disks);
  return std::ranges::none_of(expected,
                              [&](const Descriptor& blob) { return on_disks.contains(blob.digest); });
}

class SkopeoRegistry final : public Registry {
 public:
  SkopeoRegistry(SkopeoSettings settings, const Environment& environment, Clock& clock,
                 Cancellation& cancellation)
      : settings_(std::move(settings)),
        environment_(environment),
        clock_(clock),
        cancellation_(cancellation),
        skopeo_(settings_, environment, clock, cancellation),
        logins_(settings_, environment, skopeo_) {}

  AnnouncedImage announce(const ImageReference& from, const RegistryAccess& access) override {
    return with_access(from, access,
                       [&](const RegistryAccess& chosen) { return announce_with(from, chosen); });
  }

  AnnouncedImage announce_with(const ImageReference& from, const RegistryAccess& access) {
    const auto what = "the manifest of " + quote(from.text());
    auto text = proxied_manifest(from, access).value_or("");
    if (text.empty()) text = raw_manifest(from, access);
    if (is_index(text)) {
      const auto chosen = choose_platform(text, platform(), what);
      text = raw_manifest(from.with_digest(chosen.manifest.digest), access);
      if (is_index(text)) throw Error(Blame::job, "read " + what + ": it is an index of indexes");
    }
    AnnouncedImage announced{
        .digest = Digest::of(text), .manifest = parse_manifest(text, what), .text = text};
    static_cast<void>(vm_layers(announced.manifest, what));
    return announced;
  }

  std::unique_ptr<BlobSource> open(const ImageReference& from, const AnnouncedImage& announced,
                                   const std::vector<Descriptor>& expected, const OciLayout& into,
                                   const RegistryAccess& access) override {
    return with_access(from, access, [&](const RegistryAccess& chosen) {
      return open_with(from, announced, expected, into, chosen);
    });
  }

  /// What was announced, whatever the tag stands for by now.
  std::unique_ptr<BlobSource> open_with(const ImageReference& named, const AnnouncedImage& announced,
                                        const std::vector<Descriptor>& expected, const OciLayout& into,
                                        const RegistryAccess& access) {
    const auto from = named.with_digest(announced.digest);
    const bool has_signatures =
        !lets_everything_in(settings_.signature_policy.empty() ? usual_signature_policy(environment_)
                                                               : settings_.signature_policy);
    const auto doing = "fetch " + named.text_with_registry();
    auto& session = session_for(from, access);
    if (!expected.empty() || has_signatures) {
      const bool is_open = trying(doing, session, [&](const ProxyWaits& waits) {
        // With signatures to check, an image that is open already does not do.
        return has_signatures ? session.open(from.repository(), from.transport_text(), waits)
                              : session.open_any(from.repository(), from.transport_text(), waits);
      });
      if (!is_open) {
        if (is_description(announced, expected))
          return std::make_unique<Description>(describe(doing, from, announced, access));
        copy_into(doing, from, announced, into, access);
        return std::make_unique<LayoutBlobs>(into);
      }
      // skopeo looks at signatures when it copies, and this proxy does not: so it copies what describes the
      // image.
      if (has_signatures && !session.checks_signatures())
        static_cast<void>(describe(doing, from, announced, access));
    }
    return std::make_unique<ProxyBlobs>(ProxyBlobs::Parts{.settings = settings_,
                                                          .clock = clock_,
                                                          .cancellation = cancellation_,
                                                          .session = std::move(session_),
                                                          .from = from,
                                                          .doing = doing,
                                                          .expected = expected,
                                                          .progress = access.progress,
                                                          .limits_each_blob = access.limits_each_blob});
  }

  [[nodiscard]] bool gives_single_blobs() const override { return !session_ || session_->is_usable(); }

  void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
            const RegistryAccess& access) override {
    with_access(to, access, [&](const RegistryAccess& chosen) { push_with(from, manifest, to, chosen); });
  }

  void push_with(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
                 const RegistryAccess& access) {
    const auto folder = temporary_folder("push");
    std::uint64_t total = manifest.size;
    const auto layers = parse_manifest(from.read_blob(manifest), "the manifest").layers;
    for (const auto& blob : layers) total += blob.size;
    write_single_index(folder.path(), {.manifest = manifest, .tag = "image"});
    copy({.doing = "push to " + to.text_with_registry(),
          .options = joined({"--src-shared-blob-dir", (from.folder() / "blobs").string()},
                            skopeo_.tls("--dest-tls-verify", to.asked_registry())),
          .from = "oci:" + folder.path().string() + ":image",
          .to = "docker://" + to.transport_text(),
          .heartbeat =
              [&](const RunningProgram& skopeo) {
                if (access.progress && skopeo.pid != 0)
                  access.progress(std::min(bytes_read_by(skopeo.pid), total), total);
              },
          .explain = [&](SkopeoFailure& failure) { name_the_largest(failure, layers); }},
         access);
  }

  void login(const std::string& registry, const std::string& username, const Secret& password) override {
    logins_.login(registry, username, password);
  }

  void logout(const std::string& registry) override { logins_.logout(registry); }

 private:
  /// Does the work with this access. Where that is this machine's own and is refused, the credential store is
  /// asked, and the work is done again with what it has.
  template <typename Work>
  std::invoke_result_t<Work, const RegistryAccess&> with_access(const ImageReference& reference,
                                                                const RegistryAccess& access, Work work) {
    if (access.authfile || !settings_.authfile.empty()) return work(access);
    auto chosen = access;
    if (stored_) chosen.authfile = stored_->path() / "auth.json";
    try {
      return work(chosen);
    } catch (const AccessDenied&) {
      if (stored_) throw;
      const auto auth = ask_store(reference.asked_registry());
      if (!auth) throw;
      stored_ = temporary_folder("auth");
      chosen.authfile = stored_->path() / "auth.json";
      write_registry_auth(*chosen.authfile, reference.asked_registry(), *auth);
    }
    return work(chosen);
  }

  /// A store that does not work must not hide what the registry has said.
  std::optional<Secret> ask_store(const std::string& registry) {
    try {
      return stored_credentials(registry, environment_, clock_, cancellation_);
    } catch (const Error& error) {
      if (settings_.announce) settings_.announce(error.what());
      return std::nullopt;
    }
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

  [[nodiscard]] std::string platform() const {
    if (settings_.platform.empty()) return "linux/" + host_architecture();
    const auto parts = split(settings_.platform, '/');
    return (parts.size() > 1 ? parts.front() : "linux") + "/" +
           go_architecture(parts[parts.size() > 1 ? 1 : 0]);
  }

  /// As the registry has it.
  std::string raw_manifest(const ImageReference& from, const RegistryAccess& access) {
    auto arguments = joined({"inspect", "--raw"}, skopeo_.tls("--tls-verify", from.asked_registry()));
    add_authfile(arguments, access);
    arguments.push_back("docker://" + from.transport_text());
    auto text = skopeo_.run({.doing = "fetch " + from.text_with_registry(), .arguments = arguments});
    if (from.digest() && Digest::of(text) != *from.digest())
      throw Error("fetch " + from.text_with_registry() + ": the registry answers with another manifest, " +
                  Digest::of(text).text());
    return text;
  }

  /// The session with this access: the one that there is, or another.
  ProxySession& session_for(const ImageReference& from, const RegistryAccess& access) {
    std::vector<std::string> arguments{"skopeo"};
    if (!settings_.signature_policy.empty())
      arguments.insert(arguments.end(), {"--policy", settings_.signature_policy.string()});
    const auto parts = split(platform(), '/');
    arguments.insert(arguments.end(), {"--override-os", parts.front(), "--override-arch", parts.back()});
    arguments = joined(joined(std::move(arguments), {"experimental-image-proxy"}),
                       skopeo_.tls("--tls-verify", from.asked_registry()));
    add_authfile(arguments, access);
    if (!session_ || session_->arguments() != arguments)
      session_ = std::make_unique<ProxySession>(settings_, std::move(arguments), environment_);
    return *session_;
  }

  /// Asks the proxy until it succeeds; false if this skopeo has none. Throws what ends the tries.
  bool trying(const std::string& doing, ProxySession& session,
              const std::function<SkopeoProxy::Answer(const ProxyWaits&)>& ask) {
    SkopeoTries tries(settings_, clock_, cancellation_, doing);
    const ProxyWaits waits{
        .clock = clock_, .cancellation = cancellation_, .deadline = tries.deadline(), .doing = doing};
    try {
      for (;;) {
        const auto answer = ask(waits);
        if (!session.is_usable()) return false;
        if (answer.failure.empty()) return true;
        tries.wait_after(explain_skopeo_failure(answer.failure));
      }
    } catch (...) {
      session.end();  // whoever asks next is not to get the answer to this
      throw;
    }
  }

  /// The manifest, of several platforms' the one for this host. Nothing where only the raw answer of the
  /// registry can tell: no proxy, none of the platforms, a manifest in another form.
  std::optional<std::string> proxied_manifest(const ImageReference& from, const RegistryAccess& access) {
    const auto doing = "fetch " + from.text_with_registry();
    auto& session = session_for(from, access);
    std::string text;
    std::string digest;
    const bool was_asked = trying(doing, session, [&](const ProxyWaits& waits) {
      auto answer = session.open(from.repository(), from.transport_text(), waits);
      // (where a skopeo chooses the platform when it opens an index)
      if (answer.failure.find("no image found in") != std::string::npos) answer.failure.clear();
      if (!answer.failure.empty() || answer.number == 0) return answer;
      answer = session.manifest(answer.number, digest, waits);
      text = answer.text;
      const bool is_final = explain_skopeo_failure(answer.failure).repetition == Repetition::useless;
      if (is_final) answer.failure.clear();  // what is wrong with the manifest, its raw text will tell
      return answer;
    });
    if (!was_asked || Digest::of(text).text() != digest) return std::nullopt;
    return text;
  }

  /// By `skopeo copy`, what describes the image; for its disks there are empty files.
  TempFolder describe(const std::string& doing, const ImageReference& from, const AnnouncedImage& announced,
                      const RegistryAccess& access) {
    auto folder = temporary_folder("description");
    const OciLayout description(folder.path());
    description.create();
    // skopeo brings no blob that is there, and looks at no more than its name and size.
    for (const auto& disk : vm_layers(announced.manifest, from.text()).disks) {
      for (const auto& chunk : disk.chunks) {
        cancellation_.check();
        make_sparse_file(description.blob(chunk.digest), chunk.size);
      }
    }
    copy_into(doing, from, announced, description, {.authfile = access.authfile});
    return folder;
  }

  /// By `skopeo copy`, all that the layout lacks.
  void copy_into(const std::string& doing, const ImageReference& from, const AnnouncedImage& announced,
                 const OciLayout& into, const RegistryAccess& access) {
    into.create();
    const auto folder = temporary_folder("fetch");
    const Arrivals arrivals(into, folder.path(), announced.manifest);
    // Signatures have been looked at by then; a layout cannot keep them.
    copy({.doing = doing,
          .options = joined({"--remove-signatures", "--preserve-digests", "--dest-shared-blob-dir",
                             (into.folder() / "blobs").string()},
                            skopeo_.tls("--src-tls-verify", from.asked_registry())),
          .from = "docker://" + from.transport_text(),
          .to = "oci:" + folder.path().string() + ":image",
          .heartbeat =
              [&](const RunningProgram& /*skopeo*/) {
                arrivals.check();
                if (access.progress) access.progress(arrivals.done(), arrivals.total());
              },
          .achieved = [&] { return arrivals.kept(); }},
         access);
  }

  /// An image's way through `skopeo copy`.
  struct Copy {
    std::string doing;
    std::vector<std::string> options;
    std::string from;
    std::string to;
    std::function<void(const RunningProgram&)> heartbeat;
    std::function<std::uint64_t()> achieved = {};
    std::function<void(SkopeoFailure&)> explain = {};
  };

  void copy(const Copy& job, const RegistryAccess& access) const {
    std::vector<std::string> arguments{"--tmpdir", settings_.temporary_folder.string()};
    if (!settings_.signature_policy.empty())
      arguments.insert(arguments.end(), {"--policy", settings_.signature_policy.string()});
    arguments.insert(arguments.end(), {"copy", "--quiet"});
    arguments.insert(arguments.end(), job.options.begin(), job.options.end());
    add_authfile(arguments, access);
    arguments.insert(arguments.end(), {job.from, job.to});
    skopeo_.run({.doing = job.doing,
                 .arguments = arguments,
                 .heartbeat = job.heartbeat,
                 .achieved = job.achieved,
                 .explain = job.explain});
  }

  void add_authfile(std::vector<std::string>& arguments, const RegistryAccess& access) const {
    const auto& file = access.authfile ? *access.authfile : settings_.authfile;
    if (!file.empty()) arguments.insert(arguments.end(), {"--authfile", file.string()});
  }

  SkopeoSettings settings_;
  const Environment& environment_;
  Clock& clock_;
  Cancellation& cancellation_;
  SkopeoProgram skopeo_;
  SkopeoLogins logins_;
  std::unique_ptr<ProxySession> session_;
  std::optional<TempFolder> stored_;  ///< the credential store's answer, in an auth file
};

}  // namespace

std::unique_ptr<Registry> make_skopeo_registry(SkopeoSettings settings, const Environment& environment,
                                               Clock& clock, Cancellation& cancellation) {
  return std::make_unique<SkopeoRegistry>(std::move(settings), environment, clock, cancellation);
}

}  // namespace sarde
