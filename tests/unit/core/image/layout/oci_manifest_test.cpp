#include "core/image/layout/oci_manifest.hpp"

#include <doctest/doctest.h>

#include "core/image/layout/uefi_variables.hpp"
#include "core/image/layout/vm_config.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

Descriptor blob(const std::string& type, const std::string& content) {
  return {.media_type = type, .digest = Digest::of(content), .size = content.size()};
}

Manifest with_layers(const std::vector<std::string>& types) {
  Manifest manifest{.config = blob("c", "config"), .layers = {}};
  for (const auto& type : types) manifest.layers.push_back(blob(type, type));
  return manifest;
}

const std::string domain_type(media_type::domain);

}  // namespace

TEST_CASE("digest: SHA-256 of a known text, and only that form parses") {
  CHECK(Digest::of("abc").text() ==
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_FALSE(Digest::parse("sha256:BA"));
  CHECK_FALSE(Digest::parse("sha256:" + std::string(63, 'a')));
  CHECK_FALSE(Digest::parse("sha256:" + std::string(63, 'a') + "/"));
}

TEST_CASE("manifest: what is written is what is read") {
  const auto manifest =
      with_layers({domain_type, "application/x-qemu-disk+gzip", "application/x-qemu-disk+gzip;chunk=1"});
  const auto again = parse_manifest(to_text(manifest), "it");
  CHECK(again.config.digest == manifest.config.digest);
  REQUIRE(again.layers.size() == 3);
  CHECK(again.layers[2].media_type == "application/x-qemu-disk+gzip;chunk=1");
  CHECK(again.layers[1].size == manifest.layers[1].size);
}

TEST_CASE("manifest: chunks follow their disk") {
  const auto layers =
      vm_layers(with_layers({domain_type, std::string(media_type::vm_config), "application/x-qemu-disk+gzip",
                             "application/x-qemu-disk+gzip;chunk=1", "application/octet-stream+gzip"}),
                "it");
  CHECK(layers.vm_config.size() == 1);
  REQUIRE(layers.disks.size() == 2);
  CHECK(layers.disks[0].chunks.size() == 2);
  CHECK(layers.disks[1].chunks.size() == 1);
}

TEST_CASE("manifest: layers of unknown types are skipped, wherever they stand") {
  const std::string disk = "application/x-qemu-disk+gzip";
  const auto layers = vm_layers(
      with_layers({"application/vnd.next.v1", domain_type, "text/plain", disk, "application/vnd.next.v2+json",
                   disk + ";chunk=1", disk, std::string(media_type::uefi_variables), "x/y"}),
      "it");
  REQUIRE(layers.disks.size() == 2);
  CHECK(layers.disks[0].chunks.size() == 2);
  CHECK(layers.unknown.size() == 4);
  CHECK(layers.uefi_variables.size() == 1);
  ImageConfig config;
  for (const auto* file : {"next1", "domain", "text", "disk1", "next2", "disk2", "uefi", "xy"})
    config.diff_ids.push_back(Digest::of(file));
  const std::vector<Digest> of_disks{Digest::of("disk1"), Digest::of("disk2")};
  CHECK(disk_diff_ids(layers, config) == of_disks);
  // One that leaves out what it does not count as a file.
  config.diff_ids = {Digest::of("domain"), Digest::of("disk1"), Digest::of("disk2"), Digest::of("uefi")};
  CHECK(disk_diff_ids(layers, config) == of_disks);
  config.diff_ids.pop_back();
  check_error(Blame::job, "3 diff_ids for 8 files", [&] { disk_diff_ids(layers, config); });
  check_error(Blame::job, "two layers of type", [&] {
    vm_layers(with_layers({domain_type, disk, domain_type}), "it");
  });
  check_error(Blame::job, "zstd", [&] {
    vm_layers(with_layers({domain_type, "application/x-qemu-disk+zstd"}), "it");
  });
  check_error(Blame::job, "tar archives", [&] {
    vm_layers(with_layers({domain_type, "application/vnd.oci.image.layer.v1.tar+gzip"}), "it");
  });
}

TEST_CASE("uefi variables: what is packed comes back, and nothing else is taken for them") {
  std::string bytes(540672, '\xff');
  bytes.replace(40, 4, "_FVH");
  bytes.replace(1000, 5, "entry");
  const auto layer = pack_uefi_variables(bytes);
  CHECK(layer.size() < 2000);
  CHECK(layer == pack_uefi_variables(bytes));
  CHECK(unpack_uefi_variables(layer) == bytes);
  for (const auto& odd :
       {std::string(), std::string("x"), std::string(100, '\0'), layer.substr(0, layer.size() - 1),
        layer.substr(0, layer.size() - 4) + std::string("\xff\xff\xff\xff")})
    check_error(Blame::job, "the image's UEFI variables", [&] { unpack_uefi_variables(odd); });
}

TEST_CASE("manifest: what is no VM image is the job's fault") {
  check_error(Blame::job, "holds no libvirt domain",
              [] { vm_layers(with_layers({"application/x-qemu-disk+gzip"}), "it"); });
  check_error(Blame::job, "is it a container image",
              [] { vm_layers(with_layers({"application/vnd.oci.image.layer.v1.tar"}), "it"); });
  check_error(Blame::job, "chunk 2", [] {
    vm_layers(with_layers({domain_type, "x+gzip", "x+gzip;chunk=2"}), "it");
  });
  check_error(Blame::job, "chunk 1", [] { vm_layers(with_layers({domain_type, "x+gzip;chunk=1"}), "it"); });
  check_error(Blame::job, "several platforms", [] { parse_manifest(R"({"manifests":[]})", "it"); });
  check_error(Blame::job, "not valid JSON", [] { parse_manifest("{", "it"); });
  check_error(Blame::job, "sha256",
              [] { parse_manifest(R"({"config":{"digest":"sha256:../../x","size":1},"layers":[]})", "it"); });
  check_error(Blame::job, "size", [] {
    parse_manifest(R"({"config":{"digest":")" + Digest::of("").text() + R"(","size":-1},"layers":[]})", "it");
  });
  check_error(Blame::job, "levels deep",
              [] { parse_manifest(std::string(100, '[') + std::string(100, ']'), "it"); });
}

TEST_CASE("image config: a number where sardinecake writes a date is fine") {
  const auto config =
      parse_image_config(R"({"created":"2026-01-01T00:00:00Z","rootfs":{"diff_ids":[")" +
                             Digest::of("x").text() + R"("]},"history":[{"created":1795478119.64}]})",
                         "it");
  REQUIRE(config.diff_ids.size() == 1);
  CHECK(config.diff_ids[0] == Digest::of("x"));
}

TEST_CASE("index: tags and manifests without one") {
  const std::vector<IndexEntry> index{{.manifest = blob("m", "one"), .tag = "a"},
                                      {.manifest = blob("m", "two"), .tag = ""}};
  const auto again = parse_index(to_text(index), "it");
  REQUIRE(again.size() == 2);
  CHECK(again[0].tag == "a");
  CHECK(again[1].tag.empty());
}

TEST_CASE("vm config: the first user and the service called ssh count") {
  const auto config = parse_vm_config(R"({"users":[{"username":"u","password":"p"},{"username":"v"}],
    "services":[{"service":"http","port":80},{"service":"ssh","port":2222,"protocol":"tcp"}]})",
                                      "it");
  CHECK(config.username == "u");
  CHECK(config.password->reveal() == "p");
  CHECK(config.ssh_port == 2222);
  CHECK_FALSE(parse_vm_config("{}", "it").username);
  check_error(Blame::job, "65536",
              [] { parse_vm_config(R"({"services":[{"service":"ssh","port":65536}]})", "it"); });
  check_error(Blame::job, "not a list of objects", [] { parse_vm_config(R"({"users":[7]})", "it"); });
  check_error(Blame::job, "the first user: its username is no text",
              [] { parse_vm_config(R"({"users":[{"username":7}]})", "it"); });
  check_error(Blame::job, "expected form", [] { parse_vm_config("[]", "it"); });
  CHECK(parse_vm_config(R"({"users":[{"user":"a"}]})", "it").has_nameless_user);
}
