#include "core/image/layout/oci_manifest.hpp"

#include <array>
#include <map>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto ref_name = "org.opencontainers.image.ref.name";

Digest digest_in(const json& value) {
  const auto text = value.get<std::string>();
  const auto digest = Digest::parse(text);
  if (!digest) throw Error(quote(text) + " is not a sha256 digest");
  return *digest;
}

Descriptor descriptor_in(const json& value) {
  const auto& size = value.at("size");
  if (!size.is_number_unsigned()) throw Error("a blob's size is not a positive number");
  Descriptor descriptor{.media_type = value.value("mediaType", ""),
                        .digest = digest_in(value.at("digest")),
                        .size = size.get<std::uint64_t>()};
  if (value.contains("annotations") && value["annotations"].is_object()) {
    for (const auto& [key, text] : value["annotations"].items()) {
      if (text.is_string()) descriptor.annotations[key] = text.get<std::string>();
    }
  }
  return descriptor;
}

json to_json(const Descriptor& descriptor) {
  json value{
      {"mediaType", descriptor.media_type}, {"digest", descriptor.digest.text()}, {"size", descriptor.size}};
  for (const auto& [key, text] : descriptor.annotations) value["annotations"][key] = text;
  return value;
}

/// N of a media type's `;chunk=N`; 0 without.
std::uint64_t chunk_number(const std::string& type) {
  for (const auto& parameter : split(type, ';')) {
    const auto text = trimmed(parameter);
    if (text.starts_with("chunk=")) return parse_number(text.substr(6)).value_or(0);
  }
  return 0;
}

}  // namespace

Manifest parse_manifest(std::string_view text, const std::string& what) {
  return read_json(text, what, Blame::job, [&](const json& value) {
    const auto type = value.value("mediaType", "");
    if (type.starts_with("application/vnd.docker."))
      throw Error("read " + what + ": it is of docker's own kind, " + quote(type) +
                  ", which a VM image cannot have; push it as OCI");
    if (!value.contains("layers"))
      throw Error("read " + what + ": it lists no layers; is it an index of several platforms?");
    Manifest manifest{.config = descriptor_in(value.at("config")), .layers = {}};
    std::map<std::string, std::uint64_t> sizes{{manifest.config.digest.text(), manifest.config.size}};
    for (const auto& layer : value.at("layers")) {
      manifest.layers.push_back(descriptor_in(layer));
      const auto& last = manifest.layers.back();
      if (sizes.emplace(last.digest.text(), last.size).first->second != last.size)
        throw Error("read " + what + ": it gives one blob two sizes, " + last.digest.text());
    }
    return manifest;
  });
}

bool is_index(std::string_view text) {
  return read_json(text, "the registry's answer", Blame::job, [](const json& value) {
    return value.contains("manifests") && !value.contains("layers");
  });
}

PlatformManifest choose_platform(std::string_view index_text, const std::string& wanted,
                                 const std::string& what) {
  const auto all = read_json(index_text, what, Blame::job, [](const json& value) {
    std::vector<PlatformManifest> found;
    for (const auto& entry : value.at("manifests")) {
      const auto platform = entry.value("platform", json::object());
      found.push_back({.manifest = descriptor_in(entry),
                       .os = platform.value("os", ""),
                       .architecture = go_architecture(platform.value("architecture", ""))});
    }
    return found;
  });
  const PlatformManifest* unsaid = nullptr;
  std::vector<std::string> listed;
  for (const auto& one : all) {
    const auto platform = one.os + "/" + one.architecture;
    if (platform == wanted) return one;
    if (one.os.empty() && one.architecture.empty() && unsaid == nullptr) unsaid = &one;
    constexpr std::size_t enough = 20;
    if (listed.size() < enough) listed.push_back(quote(platform));
  }
  if (unsaid != nullptr) return *unsaid;
  throw Error(Blame::job, "read " + what + ": it is an index without an image for " + quote(wanted) +
                              "; it has " + (listed.empty() ? "none at all" : join(listed, ", ")) +
                              (listed.empty() ? "" : " (option 'platform' chooses another)"));
}

ImageConfig parse_image_config(std::string_view text, const std::string& what) {
  return read_json(text, what, Blame::job, [](const json& value) {
    ImageConfig config;
    config.architecture = value.value("architecture", "");
    if (value.contains("created") && value["created"].is_string())
      config.created = value["created"].get<std::string>();
    for (const auto& id : value.at("rootfs").at("diff_ids")) config.diff_ids.push_back(digest_in(id));
    return config;
  });
}

std::vector<IndexEntry> parse_index(std::string_view text, const std::string& what) {
  return read_json(text, what, Blame::job, [](const json& value) {
    std::vector<IndexEntry> index;
    for (const auto& entry : value.at("manifests")) {
      IndexEntry read{.manifest = descriptor_in(entry), .tag = {}};
      if (auto name = read.manifest.annotations.extract(ref_name)) read.tag = std::move(name.mapped());
      index.push_back(std::move(read));
    }
    return index;
  });
}

std::string to_text(const Manifest& manifest) {
  json value{{"schemaVersion", 2},
             {"mediaType", media_type::manifest},
             {"config", to_json(manifest.config)},
             {"layers", json::array()}};
  for (const auto& layer : manifest.layers) value["layers"].push_back(to_json(layer));
  return value.dump(2);
}

std::string to_text(const ImageConfig& config) {
  json value{{"architecture", config.architecture}, {"os", "linux"}, {"created", config.created}};
  value["rootfs"] = {{"type", "layers"}, {"diff_ids", json::array()}};
  for (const auto& id : config.diff_ids) value["rootfs"]["diff_ids"].push_back(id.text());
  value["history"] = json::array();
  for (const auto& line : config.history)
    value["history"].push_back({{"created", config.created}, {"created_by", line}});
  return value.dump(2);
}

std::string to_text(const std::vector<IndexEntry>& index) {
  json value{{"schemaVersion", 2}, {"manifests", json::array()}};
  for (const auto& entry : index) {
    auto described = to_json(entry.manifest);
    if (!entry.tag.empty()) described["annotations"][ref_name] = entry.tag;
    value["manifests"].push_back(std::move(described));
  }
  return value.dump(2);
}

namespace {

bool is_tar(const std::string& type) {
  return type.starts_with("application/vnd.oci.image.layer.v1.tar") ||
         type.starts_with("application/vnd.docker.image.rootfs");
}

/// What people have in registries beside VM images of this kind, by what the manifest shows.
std::string kind_of_other_image(const Manifest& manifest, const Descriptor& layer) {
  const auto type = split(layer.media_type, ';').front();
  const auto title = layer.annotations.find("org.opencontainers.image.title");
  if (type.starts_with("application/vnd.cirruslabs.tart."))
    return "it is an image of Tart, for virtual machines on macOS";
  if (type.ends_with("+zstd") && !is_tar(type))
    return "a layer is compressed with zstd; only gzip is read: export the VM again with 'sarde-executor "
           "export'";
  if (title != layer.annotations.end())
    return "it is a collection of files as ORAS pushes them (" + quote(title->second) +
           "), not a VM image of sardinecake's kind: import the disk into libvirt, and make an image with "
           "'sarde-executor export'";
  if (is_tar(type) || manifest.config.media_type.starts_with("application/vnd.docker."))
    return "its layers are tar archives; is it a container image? (A containerDisk of kubevirt is one too: "
           "take "
           "the file below disk/ out of it, and make an image with 'sarde-executor export'.)";
  return "a layer is of type " + quote(layer.media_type) +
         ", which has no place in a VM image; is it a container image?";
}

}  // namespace

namespace {

class LayerSorter {
 public:
  explicit LayerSorter(std::string what) : what_(std::move(what)) {}

  void add(const Manifest& manifest, const Descriptor& layer) {
    const auto type = split(layer.media_type, ';').front();
    if (type == media_type::domain) {
      check_is_first(!has_domain_, layer);
      layers_.domain = layer;
      has_domain_ = true;
    } else if (type == media_type::vm_config) {
      check_is_first(layers_.vm_config.empty(), layer);
      layers_.vm_config.push_back(layer);
    } else if (type == media_type::uefi_variables) {
      check_is_first(layers_.uefi_variables.empty(), layer);
      layers_.uefi_variables.push_back(layer);
    } else if (is_disk_data(type) && !is_tar(type)) {
      return add_disk(layer);
    } else if (is_tar(type) || type.starts_with(media_type::qemu_disk) ||
               type.starts_with(media_type::other_disk)) {
      refuse(kind_of_other_image(manifest, layer));
    } else {
      if (first_unknown_.empty()) first_unknown_ = kind_of_other_image(manifest, layer);
      layers_.unknown.push_back(layer);
      layers_.files.push_back(VmLayers::File::unknown);
      return;
    }
    layers_.files.push_back(VmLayers::File::known);
  }

  VmLayers take() {
    constexpr std::size_t most_disk_files = 64;
    if (layers_.disks.size() > most_disk_files)
      refuse("it has " + std::to_string(layers_.disks.size()) + " disk files; an image may have " +
             std::to_string(most_disk_files));
    if (!has_domain_)
      refuse(first_unknown_.empty()
                 ? "it holds no libvirt domain; is it a container image rather than a VM's?"
                 : first_unknown_);
    return std::move(layers_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(Blame::job, "read " + what_ + ": " + why);
  }

  void check_is_first(bool is_first, const Descriptor& layer) const {
    if (!is_first) refuse("it has two layers of type " + quote(layer.media_type));
  }

  void add_disk(const Descriptor& layer) {
    const auto number = chunk_number(layer.media_type);
    if (number == 0) {
      layers_.disks.emplace_back();
      layers_.files.push_back(VmLayers::File::disk);
    }
    if (layers_.disks.empty() || number != layers_.disks.back().chunks.size())
      refuse("chunk " + std::to_string(number) + " of a disk is not where it belongs");
    layers_.disks.back().chunks.push_back(layer);
  }

  std::string what_;
  VmLayers layers_{.domain = {.media_type = {}, .digest = Digest::of("")}};
  bool has_domain_ = false;
  std::string first_unknown_;
};

}  // namespace

std::optional<std::string> annotated(const Descriptor& blob, const char* key) {
  const auto found = blob.annotations.find(key);
  if (found == blob.annotations.end()) return std::nullopt;
  return found->second;
}

bool is_disk_data(std::string_view type) {
  return type.substr(0, type.find(';')).ends_with("+gzip");
}

std::set<Digest> digests_of(const std::vector<DiskLayers>& disks) {
  std::set<Digest> digests;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) digests.insert(chunk.digest);
  }
  return digests;
}

VmLayers vm_layers(const Manifest& manifest, const std::string& what) {
  LayerSorter sorter(what);
  for (const auto& layer : manifest.layers) sorter.add(manifest, layer);
  return sorter.take();
}

std::vector<Digest> disk_diff_ids(const VmLayers& layers, const ImageConfig& config) {
  const bool has_all = config.diff_ids.size() == layers.files.size();
  if (!has_all && config.diff_ids.size() + layers.unknown.size() != layers.files.size())
    throw Error(Blame::job, "the image config lists " + std::to_string(config.diff_ids.size()) +
                                " diff_ids for " + std::to_string(layers.files.size()) + " files");
  std::vector<Digest> of_disks;
  auto next = config.diff_ids.begin();
  for (const auto file : layers.files) {
    if (file == VmLayers::File::unknown && !has_all) continue;
    if (file == VmLayers::File::disk) of_disks.push_back(*next);
    ++next;
  }
  return of_disks;
}

std::string go_architecture(const std::string& libvirt_architecture) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> names{{{"x86_64", "amd64"},
                                                                                {"aarch64", "arm64"},
                                                                                {"i686", "386"},
                                                                                {"armv7l", "arm"},
                                                                                {"ppc64le", "ppc64le"},
                                                                                {"riscv64", "riscv64"},
                                                                                {"s390x", "s390x"}}};
  for (const auto& [libvirt, go] : names) {
    if (libvirt == libvirt_architecture) return std::string(go);
  }
  return libvirt_architecture;
}

}  // namespace sarde
