#include "executor/commands/inspect_command.hpp"

#include <array>
#include <ctime>
#include <list>
#include <optional>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/image/store/warm_templates.hpp"
#include "core/system/temp_files.hpp"
#include "core/vm/domain/domain_doubts.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/commands/image_comparison.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

StoredImage load(const CommandTools& tools, const std::string& container, bool raw) {
  return raw ? tools.images.catalogue.load_folder(container)
             : tools.images.catalogue.load(ImageReference::parse(container));
}

/// What is known about a disk. A field is empty if its value is not known.
struct DiskFacts {
  std::string name;
  std::string type;
  std::optional<std::uint64_t> size;
  std::optional<std::uint64_t> virtual_size;
  std::uint64_t compressed = 0;
  std::size_t layers = 0;
  std::optional<std::string> backing;
};

/// From the manifest alone.
DiskFacts facts_in_manifest(const DiskLayers& disk) {
  const auto& first = disk.chunks.front();
  DiskFacts facts{.name = annotated(first, annotation::disk_name).value_or(""),
                  .type = first.media_type,
                  .size = {},
                  .virtual_size = {},
                  .compressed = 0,
                  .layers = disk.chunks.size(),
                  .backing = annotated(first, annotation::disk_backing)};
  if (const auto size = annotated(first, annotation::disk_size)) facts.size = parse_number(*size);
  for (const auto& chunk : disk.chunks) facts.compressed += chunk.size;
  return facts;
}

/// From the disk's own bytes.
DiskFacts facts_in_disk(const CommandTools& tools, const InspectRequest& request, const StoredImage& image,
                        const DiskLayers& disk) {
  auto facts = facts_in_manifest(disk);
  LayoutBlobs blobs(image.layout);
  const auto summary = summarize_disk(blobs, disk,
                                      {.threads = request.threads,
                                       .progress = progress_of(tools.reporter, "reading"),
                                       .limit = request.max_image},
                                      tools.cancellation);
  facts.name = summary.name;
  facts.size = summary.size;
  if (const auto header = parse_qcow2_header(summary.head, quote(summary.name))) {
    facts.virtual_size = header->virtual_size;
    facts.backing = header->backing_file;
  }
  return facts;
}

ordered_json to_json(const DiskFacts& disk) {
  const auto number = [](const std::optional<std::uint64_t>& value) {
    return value ? ordered_json(*value) : ordered_json();
  };
  return {{"name", disk.name.empty() ? ordered_json() : ordered_json(disk.name)},
          {"type", disk.type},
          {"size", number(disk.size)},
          {"virtual_size", number(disk.virtual_size)},
          {"compressed_size", disk.compressed},
          {"layers", disk.layers},
          {"backing_file", disk.backing ? ordered_json(*disk.backing) : ordered_json()}};
}

ordered_json facts_of(const CommandTools& tools, const InspectRequest& request, const StoredImage& image,
                      bool is_local) {
  const auto manifest = parse_manifest(image.layout.read_blob(image.manifest), "the manifest");
  const auto domain = parse_domain(image.domain_xml, "the image's domain");
  ordered_json facts{{"name", image.reference.text()},
                     {"where", is_local ? "cache" : "registry"},
                     {"digest", image.manifest.digest.text()},
                     {"id", image.config_digest.text()},
                     {"created", image.created},
                     {"architecture", domain.architecture},
                     {"compressed_size", image.compressed_size()}};
  const bool is_packed = is_local && image.has_packed_disks();
  facts["layers_kept"] = is_local ? ordered_json(is_packed) : ordered_json();
  std::optional<std::uint64_t> size = 0;
  auto disks = ordered_json::array();
  for (const auto& disk : image.disks) {
    const auto found = is_packed ? facts_in_disk(tools, request, image, disk) : facts_in_manifest(disk);
    size = size && found.size ? std::optional(*size + *found.size) : std::nullopt;
    disks.push_back(to_json(found));
  }
  facts["size"] = size ? ordered_json(*size) : ordered_json();
  facts["login"] = image.vm_config.username ? ordered_json(*image.vm_config.username) : ordered_json();
  facts["services"] = ordered_json::array();
  if (!image.vm_config_text.empty()) {
    const auto config = parse_json(image.vm_config_text, "the vm config");
    constexpr std::size_t enough = 100;
    for (const auto& service : config.value("services", nlohmann::json::array())) {
      ordered_json shown_service;
      for (const auto* key : {"service", "port", "protocol"})
        if (service.is_object() && service.contains(key) && service[key].is_primitive())
          shown_service[key] = service[key];
      if (facts["services"].size() < enough) facts["services"].push_back(std::move(shown_service));
    }
  }
  const auto doubts = doubts_about_domain(image.domain_xml, request.allowed_devices);
  facts["jobs"] = {{"refused", doubts.refusal.empty() ? ordered_json() : ordered_json(doubts.refusal)},
                   {"not_taken_over", doubts.lost}};
  facts["disks"] = std::move(disks);
  facts["saved_states"] = ordered_json::array();
  if (is_local)
    for (const auto& state :
         WarmTemplates::all_of(tools.images.unpacked.folder() / image.manifest.digest.text()))
      facts["saved_states"].push_back(
          {{"made", state.made},
           {"size", state.bytes},
           {"is_proven", state.is_proven},
           {"refused", state.refusal.empty() ? ordered_json() : ordered_json(state.refusal)}});
  facts["layers"] = ordered_json::array();
  for (const auto& layer : manifest.layers) {
    facts["layers"].push_back(
        {{"type", layer.media_type}, {"digest", layer.digest.text()}, {"size", layer.size}});
  }
  return facts;
}

std::string size_or_unknown(const ordered_json& value) {
  return value.is_number() ? size_text(value.get<std::uint64_t>()) : "unknown until the image is fetched";
}

/// Text from the image, shown without quotes if it is harmless.
std::string shown(const ordered_json& value) {
  const auto text = value.is_string() ? value.get<std::string>() : json_text(value);
  const auto quoted = quote(text);
  return quoted == "'" + text + "'" ? text : quoted;
}

/// A time in UTC (RFC 3339) as the reader's clocks show it; any other text as it is.
std::string in_readers_zone(const std::string& text) {
  std::tm broken{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &broken);
  if (rest == nullptr) return text;
  const std::string_view zone(rest);
  const auto fraction_end = zone.starts_with('.') ? zone.find_first_not_of("0123456789", 1) : 0;
  if (fraction_end == std::string_view::npos || zone.substr(fraction_end) != "Z") return text;
  const auto time = ::timegm(&broken);
  if (::localtime_r(&time, &broken) == nullptr) return text;
  std::array<char, 64> shown{};
  return std::strftime(shown.data(), shown.size(), "%Y-%m-%d %H:%M:%S %Z", &broken) == 0 ? text
                                                                                         : shown.data();
}

std::string as_text(const ordered_json& facts) {
  std::string text;
  const auto line = [&](const std::string& key, const std::string& value) {
    text += key + std::string(key.size() < 14 ? 14 - key.size() : 1, ' ') + value + "\n";
  };
  for (const auto* key : {"name", "where", "digest", "id"}) line(key, shown(facts[key]));
  line("created", shown(in_readers_zone(facts["created"])));
  line("architecture", shown(facts["architecture"]));
  line("compressed", size_text(facts["compressed_size"].get<std::uint64_t>()));
  line("uncompressed", size_or_unknown(facts["size"]));
  if (facts["layers_kept"] == false) line("layers", "not kept in the cache (keep-blobs)");
  line("login", facts["login"].is_null() ? "not specified" : shown(facts["login"]));
  for (const auto& service : facts["services"]) {
    if (!service.is_object()) continue;
    line("port", shown(service.value("port", ordered_json())) + "/" +
                     shown(service.value("protocol", ordered_json("tcp"))) + " " +
                     shown(service.value("service", ordered_json(""))));
  }
  for (const auto& disk : facts["disks"]) {
    line("disk",
         (disk["name"].is_null() ? "(name unknown until the image is fetched)" : shown(disk["name"])) + ", " +
             size_text(disk["compressed_size"].get<std::uint64_t>()) + " compressed, " +
             size_or_unknown(disk["size"]) + " uncompressed" +
             (disk["virtual_size"].is_null()
                  ? ""
                  : ", " + size_text(disk["virtual_size"].get<std::uint64_t>()) + " for the guest") +
             ", " + shown(disk["layers"]) + " layer(s)" +
             (disk["backing_file"].is_null() ? "" : ", reads from " + shown(disk["backing_file"])));
  }
  const auto& jobs = facts["jobs"];
  if (!jobs["refused"].is_null()) line("jobs", "refused: " + jobs["refused"].get<std::string>());
  for (const auto& lost : jobs["not_taken_over"]) line("jobs", "do not get " + shown(lost));
  for (const auto& state : facts["saved_states"])
    line("warm start", state["refused"].is_null()
                           ? size_text(state["size"].get<std::uint64_t>()) +
                                 (state["is_proven"].get<bool>() ? "" : ", not used yet")
                           : "refused: " + shown(state["refused"]));
  for (const auto& layer : facts["layers"])
    line("layer", shown(layer["digest"]) + "  " + size_text(layer["size"].get<std::uint64_t>()) + "  " +
                      shown(layer["type"]));
  text.pop_back();
  return text;
}

}  // namespace

std::string config_of_image(const CommandTools& tools, const ConfigRequest& request) {
  const auto image = load(tools, request.container, request.raw);
  if (image.vm_config_text.empty()) return "";
  // Keeps the order of the keys, but only in a small document, because finding a key in an ordered object
  // takes time in proportion to their number.
  constexpr std::size_t small = 64U << 10U;
  if (image.vm_config_text.size() > small)
    return json_text(parse_json(image.vm_config_text, "the vm config"));
  return json_text(ordered_json::parse(image.vm_config_text));
}

std::string inspect_image(const CommandTools& tools, const InspectRequest& request) {
  std::list<TempFolder> folders;  // of what registries have told
  const auto look_at = [&](const std::string& container, bool raw,
                           bool remote) -> std::pair<StoredImage, bool> {
    const bool is_local = raw || (!remote && tools.images.catalogue.has(ImageReference::parse(container)));
    if (is_local) return {load(tools, container, raw), true};
    const auto reference = ImageReference::parse(container);
    make_folders(tools.images.catalogue.folder(), 0700);
    folders.push_back(TempFolder::in(tools.images.catalogue.folder(), ".sarde-inspect-", 0700));
    const OciLayout layout(folders.back().path());
    return {tools.images.fetcher.fetch_description(reference, layout, tools.registry, {}), false};
  };
  const auto [image, is_local] = look_at(request.container, request.raw, request.remote);
  if (!request.other.empty()) {
    // Usually what this host has is compared with what a registry has.
    std::error_code ignored;
    const bool is_folder = request.raw && std::filesystem::is_directory(request.other, ignored);
    return compare_images(image, look_at(request.other, is_folder, false).first, request.form);
  }
  const auto facts = facts_of(tools, request, image, is_local);
  return request.form == AnswerForm::json ? json_text(facts) : as_text(facts);
}

}  // namespace sarde
