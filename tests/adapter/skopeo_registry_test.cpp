#include "core/image/registry/skopeo_registry.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/image/registry/skopeo_errors.hpp"
#include "core/image/store/image_store.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace std::chrono_literals;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

/// Debian's docker-registry on a free port of loopback.
class LoopbackRegistry {
 public:
  LoopbackRegistry() {
    const auto data = (folder_ / "registry").string();
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const std::string script = std::string(SARDE_SOURCE_DIR) + "/tests/support/loopback-registry";
      ::execl(script.c_str(), script.c_str(), data.c_str(), nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 200 && address_.empty(); ++i) {
      std::this_thread::sleep_for(50ms);
      address_ = read_end_of_file(folder_ / "registry/address", 100);
    }
    REQUIRE_FALSE(address_.empty());
    address_.pop_back();
  }

  LoopbackRegistry(const LoopbackRegistry&) = delete;
  LoopbackRegistry& operator=(const LoopbackRegistry&) = delete;

  ~LoopbackRegistry() { stop(); }

  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  TestFolder folder_;
  std::string address_;
  pid_t pid_ = -1;
};

struct Bench {
  LoopbackRegistry server;
  TestFolder folder;
  SystemClock clock;
  Cancellation cancellation;
  Environment environment{Variables{{"PATH", "/usr/bin:/bin"}, {"HOME", "/nonexistent"}}};
  ImageStore store{
      {.ocidir = folder / "oci", .vmdir = folder / "vms", .lock_timeout = 5s}, clock, cancellation};

  std::unique_ptr<Registry> registry(bool listed = true) {
    SkopeoSettings settings{.temporary_folder = "/tmp", .insecure_registries = {}, .timeout = 60s};
    if (listed) settings.insecure_registries = {server.address()};
    return make_skopeo_registry(settings, environment, clock, cancellation);
  }

  ImageReference name(const std::string& rest) { return ImageReference::parse(server.address() + rest); }

  /// A small image in the cache under that name.
  StoredImage make(const ImageReference& reference) {
    const auto layout = store.catalogue.layout_of(reference);
    layout.create();
    write_file(folder / "d.raw", "disk", 0644);
    const auto disk = pack_disk(folder / "d.raw", layout,
                                {.name = "d.raw", .media_type = "application/octet-stream"}, cancellation);
    const auto domain = layout.add_blob("<domain/>", media_type::domain);
    const auto config = layout.add_blob(to_text(ImageConfig{.architecture = "amd64",
                                                            .created = "2026-01-01T00:00:00Z",
                                                            .diff_ids = {domain.digest, disk.diff_id},
                                                            .history = {}}),
                                        media_type::config);
    store.catalogue.tag(
        layout,
        layout.add_blob(to_text(Manifest{.config = config, .layers = {domain, disk.chunks[0]}}),
                        media_type::manifest),
        reference.local_name());
    return store.catalogue.load(reference);
  }
};

}  // namespace

TEST_CASE("registry: what is pushed is what is fetched, by tag and by digest") {
  Bench bench;
  const auto registry = bench.registry();
  const auto reference = bench.name("/vms/a:one");
  const auto image = bench.make(reference);
  registry->push(image.layout, image.manifest, reference, {});
  remove_if_there(bench.folder / "oci");
  CHECK(bench.store.fetcher.fetch(reference, reference, *registry, {}).manifest.digest ==
        image.manifest.digest);
  remove_if_there(bench.folder / "oci");
  const auto by_digest = ImageReference::parse(reference.repository() + "@" + image.manifest.digest.text());
  CHECK(bench.store.fetcher.fetch(by_digest, by_digest, *registry, {}).config_digest == image.config_digest);
}

TEST_CASE("registry: whose fault a failure is") {
  Bench bench;
  const auto registry = bench.registry();
  check_error(Blame::job, "no such image or tag", [&] {
    bench.store.fetcher.fetch(bench.name("/vms/none:x"), bench.name("/vms/none:x"), *registry, {});
  });
  const auto strict = bench.registry(false);
  check_error(Blame::host, "speaks plain HTTP", [&] {
    bench.store.fetcher.fetch(bench.name("/vms/none:x"), bench.name("/vms/none:x"), *strict, {});
  });
  check_error(Blame::host, "name is not known", [&] {
    bench.store.fetcher.fetch(ImageReference::parse("nohost.invalid/a/b:x"),
                              ImageReference::parse("nohost.invalid/a/b:x"), *strict, {});
  });
  bench.server.stop();
  check_error(Blame::host, "nothing answers there", [&] {
    bench.store.fetcher.fetch(bench.name("/vms/none:x"), bench.name("/vms/none:x"), *registry, {});
  });
  CHECK_FALSE(bench.store.catalogue.has(bench.name("/vms/none:x")));
}

TEST_CASE("registry: what skopeo's words mean") {
  const auto said = [](const std::string& message) {
    return explain_skopeo_failure("time=\"2026\" level=fatal msg=\"" + message + "\"\n");
  };
  const auto expect = [&](const std::string& message, Blame blame, Repetition repetition,
                          const std::string& sentence) {
    CAPTURE(message);
    const auto failure = said(message);
    CHECK(failure.blame == blame);
    CHECK(failure.repetition == repetition);
    CHECK_MESSAGE(failure.cause.find(sentence) != std::string::npos, failure.cause);
  };
  using enum Repetition;
  expect("initializing source docker://x: reading manifest: unauthorized: authentication required",
         Blame::job, useless, "wants other credentials");
  CHECK(said("reading manifest: unauthorized: authentication required").is_about_access);
  expect("Requesting bearer token: invalid status code from registry 403 (Forbidden)", Blame::job, useless,
         "denies access");
  expect("reading manifest 1 in x/a: received unexpected HTTP status: 502 Bad Gateway", Blame::host, patient,
         "behind its proxy");
  expect("Error fetching blob: invalid status code from registry 503 (Service Unavailable)", Blame::host,
         patient, "busy or being restarted");
  expect("received unexpected HTTP status: 500 Internal Server Error", Blame::host, patient, "has failed");
  expect("received unexpected HTTP status: 504 Gateway Timeout", Blame::host, patient, "in time");
  expect("reading manifest 1 in x/a: StatusCode: 408, <html>", Blame::host, patient, "took too long");
  expect("reading manifest 1 in x/a: toomanyrequests: later", Blame::host, patient, "limits the rate");
  expect("writing blob: happened during read: unexpected EOF", Blame::host, patient, "broke");
  expect("read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer", Blame::host, patient, "broke");
  expect("Get \\\"https://x/\\\": EOF", Blame::host, patient, "Get \"https://x/\": EOF");
  expect("dial tcp 127.0.0.1:1: connect: connection refused", Blame::host, brief, "nothing answers there");
  expect("dial tcp: lookup x: no such host", Blame::host, useless, "name is not known");
  expect("reading manifest 1 in x/a: StatusCode: 404, <html>oops</html>", Blame::job, useless,
         "does not have it");
  expect("writing blob: uploading layer chunked: StatusCode: 413, <html>", Blame::job, useless,
         "limits the size");
  CHECK(said("writing blob: uploading layer chunked: StatusCode: 413, <html>").is_about_size);
  expect("writing blob: Digest did not match, expected sha256:a, got sha256:b", Blame::job, useless,
         "other content");
  expect(
      "initiating layer upload to /v2/x/ in x: denied: adding 1.2 MiB of storage resource, which when "
      "updated to 6 MiB will exceed the configured upper limit of 5.0 MiB.",
      Blame::job, useless, "quota is used up");
  expect("uploading manifest 1 to x: unknown: Failed to process request due to configured as immutable.",
         Blame::job, useless, "does not let this tag be replaced");
  expect("uploading manifest 1 to x: tag invalid: The image tag already exists and cannot be overwritten",
         Blame::job, useless, "does not let this tag be replaced");
  expect("initiating layer upload: denied: the system is in read only mode.", Blame::job, useless,
         "read-only");
  expect("initiating layer upload to /v2/vms/a/blobs/uploads/ in localhost:1: unsupported", Blame::job,
         useless, "takes no uploads");
  expect("initiating layer upload: name unknown: The repository does not exist", Blame::job, useless,
         "no such repository");
  expect("received unexpected HTTP status: 507 Insufficient Storage", Blame::host, useless, "disk is full");
  expect("registry x is blocked in /etc/containers/registries.conf or ..", Blame::host, useless, "blocks");
  expect("write /x: no space left on device", Blame::host, useless, "disk is full");
  // The proxy says it without a level and a date.
  const auto expect_of_proxy = [&](const std::string& words, Blame blame, Repetition repetition,
                                   const std::string& sentence) {
    CAPTURE(words);
    const auto failure = explain_skopeo_failure(words);
    CHECK(failure.blame == blame);
    CHECK(failure.repetition == repetition);
    CHECK_MESSAGE(failure.cause.find(sentence) != std::string::npos, failure.cause);
  };
  expect_of_proxy("corrupted blob, expecting sha256:1", Blame::job, useless, "other content");
  expect_of_proxy("expected 99999 bytes in blob, got 100000", Blame::job, useless, "other content");
  expect_of_proxy("unexpected EOF", Blame::host, patient, "broke");
  expect_of_proxy("skopeo has ended", Blame::host, brief, "was killed, or has failed");
  expect_of_proxy("A signature was required, but no signature exists", Blame::job, useless,
                  "lacks a signature that is trusted");
  expect_of_proxy("Running image docker://x/a:1 is rejected by policy.", Blame::job, useless,
                  "lacks a signature that is trusted");
  // Names say nothing about what happened.
  expect(
      "initializing source docker://reg.example/quota-service:1: reading manifest 1 in "
      "reg.example/quota-service: unauthorized: authentication required",
      Blame::job, useless, "wants other credentials");
  CHECK(said("reading manifest 1 in reg.example/quota-service: unauthorized").is_about_access);
  expect(
      "reading manifest immutable in localhost/denied-x509:1: received unexpected HTTP status: 502 Bad "
      "Gateway",
      Blame::host, patient, "behind its proxy");
  expect("Get \\\"https://read-only.example/v2/goaway/\\\": x509: certificate signed by unknown authority",
         Blame::host, useless, "TLS certificate");
  expect("dial tcp: lookup quota.example.org: no such host", Blame::host, useless, "name is not known");
  expect("reading manifest quota in localhost/x: manifest unknown", Blame::job, useless,
         "no such image or tag");
  expect("open /root/.config/containers/auth.json: permission denied", Blame::host, useless, "may not read");
  CHECK_FALSE(said("open /root/auth.json: permission denied").is_about_access);
  expect("mkdir /var/tmp/x: read-only file system", Blame::host, useless, "of this host is read-only");
  expect("logging into \\\"localhost:1\\\": invalid username/password", Blame::job, useless,
         "refused the credentials");
  expect("Get \\\"https://x/v2/\\\": dial tcp 10.0.0.1:443: i/o timeout", Blame::host, patient, "in time");
  expect("something new", Blame::host, useless, "skopeo says 'something new'");
}
