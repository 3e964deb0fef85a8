#pragma once

#include <functional>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/registry/registry.hpp"
#include "core/system/files.hpp"

namespace sarde::testing {

/// Bytes in memory, compared with their digest at their end.
class FakeBlob final : public BlobReader {
 public:
  FakeBlob(std::string bytes, Descriptor blob) : bytes_(std::move(bytes)), blob_(std::move(blob)) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    const auto count = std::min({size, bytes_.size() - at_, blob_.size - at_});
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, into);
    at_ += count;
    if (count == 0 && (at_ != blob_.size || Digest::of(bytes_.substr(0, at_)) != blob_.digest))
      throw Error(Blame::job, "the registry sends other content than the manifest says");
    return count;
  }

 private:
  std::string bytes_;
  Descriptor blob_;
  std::size_t at_ = 0;
};

/// A registry in memory: tags, manifests, blobs. It gives what it has, and may change while it is asked.
class FakeRegistry final : public Registry {
 public:
  class FakeBlobs final : public BlobSource {
   public:
    explicit FakeBlobs(FakeRegistry& registry) : registry_(registry) {}

    std::unique_ptr<BlobReader> open(const Descriptor& blob) override {
      const auto found = registry_.blobs.find(blob.digest.text());
      if (found == registry_.blobs.end()) throw Error("the registry has no such blob");
      registry_.read.push_back(found->first);
      return std::make_unique<FakeBlob>(found->second, blob);
    }

   private:
    FakeRegistry& registry_;
  };

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
    const auto& text = blobs.at(digest.text());
    return {.digest = digest, .manifest = parse_manifest(text, "it"), .text = text};
  }

  std::unique_ptr<BlobSource> open(const ImageReference& /*from*/, const AnnouncedImage& announced,
                                   const std::vector<Descriptor>& /*expected*/, const OciLayout& /*into*/,
                                   const RegistryAccess& /*access*/) override {
    step("fetch");
    if (before_fetch) before_fetch();
    fetched.push_back(announced.digest.text());
    return std::make_unique<FakeBlobs>(*this);
  }

  void push(const OciLayout& /*from*/, const Descriptor& /*manifest*/, const ImageReference& /*to*/,
            const RegistryAccess& /*access*/) override {}

  std::vector<std::string> read;  ///< digests of blobs, as they were opened

  void login(const std::string& /*registry*/, const std::string& /*username*/,
             const Secret& /*password*/) override {}

  void logout(const std::string& /*registry*/) override {}
};

}  // namespace sarde::testing
