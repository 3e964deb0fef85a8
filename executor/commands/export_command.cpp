#include <algorithm>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain_xml.hpp"
#include "executor/commands/image_commands.hpp"
#include "executor/commands/progress_lines.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// The VM's definition, with absolute paths of its disks' files.
struct Source {
  std::string xml;
  ImageDomain domain;
};

Source source_of(const ImageCommandParts& parts, const std::string& vm) {
  const auto& file = parts.settings.libvirtconfig;
  if (!file.empty()) {
    Source source{.xml = read_file(file), .domain = {}};
    source.domain = parse_domain(source.xml, file.string());
    for (auto& disk : source.domain.disks) disk.file = (file.parent_path() / disk.file).lexically_normal();
    return source;
  }
  auto& hypervisor = parts.hypervisor();
  Source source{.xml = hypervisor.definition(vm), .domain = {}};
  if (hypervisor.state(vm) == DomainState::running) {
    throw Error(
        Blame::job,
        "export VM " + quote(vm) +
            ": it is running, so its disks change while they are read; shut it down first ('virsh shutdown " +
            vm + "')");
  }
  source.domain = parse_domain(source.xml, "the definition of VM '" + vm + "'");
  return source;
}

/// A disk file with those that it reads from, base first.
std::vector<fs::path> backing_chain(const fs::path& disk, const std::string& format) {
  constexpr std::size_t longest = 64;
  std::vector<fs::path> chain{disk};
  for (bool is_qcow2 = format == "qcow2"; is_qcow2;) {
    const auto& file = chain.front();
    const auto header = read_qcow2_header(file);
    if (!header) throw Error(Blame::job, "export: " + file.string() + " is said to be qcow2, but is not");
    if (header->external_data)
      throw Error(Blame::job, "export: " + file.string() +
                                  " keeps its data in an external file, which an image cannot hold");
    if (!header->backing_file) break;
    if (header->backing_file->find('/') != std::string::npos) {
      throw Error(
          Blame::job,
          "export: " + file.string() + " refers to its backing file by the path " +
              quote(*header->backing_file) +
              "; images need a bare file name in the same folder (qemu-img rebase -u -b NAME -F FORMAT)");
    }
    if (!header->backing_format) {
      throw Error(Blame::job, "export: " + file.string() + " does not say the format of its backing file " +
                                  quote(*header->backing_file) +
                                  " (qemu-img rebase -u -b NAME -F FORMAT sets it)");
    }
    is_qcow2 = *header->backing_format == "qcow2";
    chain.insert(chain.begin(), file.parent_path() / *header->backing_file);
    if (chain.size() > longest)
      throw Error(Blame::job, "export: the backing chain of " + disk.string() + " loops, or has more than " +
                                  std::to_string(longest) + " files");
  }
  return chain;
}

std::vector<fs::path> files_to_pack(const ImageDomain& domain) {
  std::vector<fs::path> files;
  for (const auto& disk : domain.disks) {
    for (const auto& file : backing_chain(disk.file, disk.format)) {
      if (std::ranges::find(files, file) == files.end()) files.push_back(file);
    }
  }
  if (files.empty()) throw Error(Blame::job, "export: the VM has no disk in a file");
  for (auto file = files.begin(); file != files.end(); ++file) {
    const auto twin = std::find_if(
        file + 1, files.end(), [&](const fs::path& other) { return other.filename() == file->filename(); });
    if (twin != files.end())
      throw Error(Blame::job, "export: " + file->string() + " and " + twin->string() +
                                  " would have one name in the image; rename one");
  }
  return files;
}

/// RFC 3339, from when the disks last changed: so the same VM exported twice is the same image.
std::string created_at(const std::vector<fs::path>& files) {
  std::time_t newest = 0;
  for (const auto& file : files) {
    struct stat status {};

    if (::stat(file.c_str(), &status) != 0) throw Error("export " + file.string() + ": " + errno_text(errno));
    newest = std::max(newest, status.st_mtim.tv_sec);
  }
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(newest));
}

class Exporter {
 public:
  Exporter(const ImageCommandParts& parts, OciLayout layout) : parts_(parts), layout_(std::move(layout)) {}

  Descriptor run(const Source& source) {
    const auto files = files_to_pack(source.domain);
    config_.created = created_at(files);
    config_.architecture = go_architecture(source.domain.architecture);
    layout_.create();
    add_small(domain_for_export(source.xml), media_type::domain, "virsh dumpxml");
    if (!parts_.settings.vmconfig.empty()) add_vm_config();
    for (const auto& file : files) add_disk(file);
    const auto config = layout_.add_blob(to_text(config_), media_type::config);
    return layout_.add_blob(to_text(Manifest{.config = config, .layers = layers_}), media_type::manifest);
  }

 private:
  void add_small(const std::string& content, std::string_view type, const std::string& history) {
    layers_.push_back(layout_.add_blob(content, type));
    config_.diff_ids.push_back(layers_.back().digest);
    config_.history.push_back(history);
  }

  void add_vm_config() {
    const auto text = read_file(parts_.settings.vmconfig);
    static_cast<void>(parse_vm_config(text, parts_.settings.vmconfig.string()));
    add_small(text, media_type::vm_config, "vm config");
  }

  void add_disk(const fs::path& file) {
    const auto start = parts_.clock.now();
    const bool is_qcow2 = read_qcow2_header(file).has_value();
    const auto name = file.filename().string();
    const PackOptions options{
        .name = name,
        .media_type = std::string(is_qcow2 ? media_type::qemu_disk : media_type::other_disk),
        .compression = parts_.settings.compression == "fast" ? Compression::fast : Compression::small,
        .chunk_limit = parts_.settings.chunksize,
        .threads = parts_.threads,
        .progress = progress_lines("packing " + name, parts_.clock, parts_.reporter)};
    if (!is_bare_file_name(name))
      throw Error(Blame::job, "export: " + file.string() + " has a name that images cannot hold; rename it");
    const auto packed = pack_disk(file, layout_, options, parts_.cancellation);
    layers_.insert(layers_.end(), packed.chunks.begin(), packed.chunks.end());
    config_.diff_ids.push_back(packed.diff_id);
    config_.history.push_back("gzip " + name);
    std::uint64_t size = 0;
    for (const auto& chunk : packed.chunks) size += chunk.size;
    parts_.reporter.say("Packed " + file.string() + ": " + size_text(fs::file_size(file)) + " as " +
                        size_text(size) + " in " + std::to_string(packed.chunks.size()) + " layer(s) (" +
                        duration_text(milliseconds_between(start, parts_.clock.now())) + ")");
  }

  const ImageCommandParts& parts_;
  OciLayout layout_;
  std::vector<Descriptor> layers_;
  ImageConfig config_;
};

}  // namespace

std::string export_image(const ImageCommandParts& parts, const ExportRequest& request) {
  if (request.raw) {
    const OciLayout layout(request.container);
    parts.images.tag(layout, Exporter(parts, layout).run(source_of(parts, request.vm)), "latest");
    return request.container;
  }
  const auto reference = ImageReference::parse(request.container.empty() ? request.vm : request.container);
  if (reference.digest())
    throw Error(Blame::job, "export to " + quote(reference.text()) +
                                ": an image gets its digest, it cannot be chosen; give a tag");
  const auto layout = parts.images.layout_of(reference);
  parts.images.tag(layout, Exporter(parts, layout).run(source_of(parts, request.vm)), reference.local_name());
  parts.reporter.say("Exported VM " + quote(request.vm) + " as " + reference.text());
  return reference.text();
}

}  // namespace sarde
