#pragma once

#include <functional>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/registry/registry.hpp"
#include "core/system/files.hpp"

namespace sarde::testing {

/// A registry in memory: tags, manifests, blobs. It gives what it has, and may change while it is asked.
class FakeRegistry final : public Registry {
 public:
  std::map<std::string, Digest> tags;
  std::map<std::string, std::string> blobs;  ///< by digest
  std::function<void(const std::string& call)> step = [](const std::string&) {};
  std::function<void()> before_fetch = {};
  std::vector<std::string> fetched;  ///< digests of manifests

  Descriptor add(const std::string& content, std::string_view type) {
    const auto digest = Digest::of(content);
    blobs[digest.text()] = content;
    return {.media_type = std::string(type), .digest = digest, .size = content.size()};
  }

  /// A disk's layers, and the digest of its content; packed in `folder`.
  PackedDisk add_disk(const std::filesystem::path& folder, const std::string& name,
                      const std::string& content) {
    Cancellation never;
    const OciLayout packing(folder / "packing");
    packing.create();
    write_file(folder / "content", content, 0600);
    auto packed = pack_disk(folder / "content", packing,
                            {.name = name, .media_type = "application/x-qemu-disk"}, never);
    for (const auto& chunk : packed.chunks)
      blobs[chunk.digest.text()] = read_file(packing.blob(chunk.digest));
    return packed;
  }

  AnnouncedImage announce(const ImageReference& from, const RegistryAccess& /*access*/) override {
    step("announce");
    const auto digest = from.digest() ? *from.digest() : tags.at(from.local_name());
    return {.digest = digest, .manifest = parse_manifest(blobs.at(digest.text()), "it")};
  }

  Descriptor fetch(const ImageReference& /*from*/, const AnnouncedImage& announced, const OciLayout& into,
                   const std::optional<Descriptor>& /*known*/, const RegistryAccess& /*access*/) override {
    step("fetch");
    if (before_fetch) before_fetch();
    fetched.push_back(announced.digest.text());
    into.create();
    auto wanted = announced.manifest.layers;
    wanted.push_back(announced.manifest.config);
    for (const auto& blob : wanted) {
      const auto found = blobs.find(blob.digest.text());
      if (found == blobs.end()) throw Error("the registry has no such blob");
      static_cast<void>(into.add_blob(found->second, blob.media_type));
    }
    return into.add_blob(blobs.at(announced.digest.text()), media_type::manifest);
  }

  Descriptor fetch_description(const ImageReference& from, const AnnouncedImage& announced,
                               const OciLayout& into, const RegistryAccess& access) override {
    return fetch(from, announced, into, std::nullopt, access);
  }

  void push(const OciLayout& /*from*/, const Descriptor& /*manifest*/, const ImageReference& /*to*/,
            const RegistryAccess& /*access*/) override {}

  void login(const std::string& /*registry*/, const std::string& /*username*/,
             const Secret& /*password*/) override {}

  void logout(const std::string& /*registry*/) override {}
};

}  // namespace sarde::testing
