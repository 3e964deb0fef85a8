#include "executor/commands/export_command.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>
#include <tuple>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_chain.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/image/layout/uefi_variables.hpp"
#include "core/image/store/boot_order.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_doubts.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "executor/commands/efi_loader.hpp"
#include "executor/commands/export_source.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// While a running VM writes to a disk, reading it would mix states from different moments.
void refuse_files_in_use(const CommandTools& tools, const std::vector<ChainFile>& files) {
  std::vector<DomainFiles> domains;
  try {
    domains = tools.hypervisor().domain_files();
  } catch (const Error& error) {
    tools.reporter.detail(std::string("Could not check whether a VM is writing to the disks: ") +
                          error.what());
  }
  for (const auto& domain : domains) {
    for (const auto& written : domain.written) {
      const auto real = fs::weakly_canonical(written);
      if (std::ranges::find(files, real, &ChainFile::path) != files.end())
        throw Error(Blame::job, "export: VM " + quote(domain.name) + " is running and writes to " +
                                    real.string() + "; shut it down first, or export that VM with --live");
    }
  }
}

std::vector<ChainTop> tops_of(const VmToExport& source) {
  std::vector<ChainTop> tops;
  for (const auto& disk : source.disks) tops.push_back({.path = disk.path, .format = disk.format});
  return tops;
}

timespec last_change(const fs::path& file) {
  struct stat status {};

  if (::stat(file.c_str(), &status) != 0) throw Error("export " + file.string() + ": " + errno_text(errno));
  return status.st_mtim;
}

/// When the disks last changed, as in RFC 3339. Exporting the same VM twice therefore gives the same image.
std::string created_at(const std::vector<ChainFile>& files) {
  std::time_t newest = 0;
  for (const auto& file : files) newest = std::max(newest, last_change(file.path).tv_sec);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(newest));
}

class Exporter {
 public:
  Exporter(const CommandTools& tools, const ExportRequest& request, OciLayout layout)
      : tools_(tools), request_(request), layout_(std::move(layout)), boot_order_(read_boot_order(layout_)) {}

  /// Holds the layout's lock to the end, because `prune` treats blobs that are not tagged yet as unused.
  NamedImage run(const VmToExport& source, const std::string& name, const std::string& tag) {
    const auto files = image_files(tops_of(source));
    refuse_files_in_use(tools_, files);
    config_.created = created_at(files);
    config_.architecture = go_architecture(source.architecture);
    const auto lock = tools_.images.locks.of_blobs(layout_);
    check_chunksize();
    const auto domain = domain_for_export(source.xml, names_in(files, source));
    warn_of_what_jobs_miss(domain);
    add_small(domain, media_type::domain, "virsh dumpxml");
    if (request_.cloud_init) layers_.back().annotations[annotation::guest_setup] = "cloud-init";
    if (!request_.vm_config.empty()) add_vm_config();
    if (!add_uefi_variables(source.uefi_variables) && boots_by_uefi(domain)) warn_of_hidden_loader(source);
    for (const auto& file : files) add_disk(file);
    const auto config = layout_.add_blob(to_text(config_), media_type::config);
    const auto manifest =
        layout_.add_blob(to_text(Manifest{.config = config, .layers = layers_}), media_type::manifest);
    tools_.images.catalogue.tag(layout_, manifest, tag);
    return {.name = name, .digest = manifest.digest, .id = config.digest, .compressed_size = compressed_};
  }

 private:
  /// Is it the copy of a running VM's disk? The user does not need to see where such a copy is.
  [[nodiscard]] bool is_copy(const ChainFile& file) const {
    return file.path.string().starts_with((tools_.images.unpacked.folder() / ".incoming-live-").string());
  }

  static ExportedDisks names_in(const std::vector<ChainFile>& files, const VmToExport& source) {
    ExportedDisks disks{.emptied = source.emptied, .dropped = source.dropped};
    for (const auto& disk : source.disks) {
      const auto file = std::ranges::find(files, fs::canonical(disk.path), &ChainFile::path);
      disks.kept[disk.element] = {.file = file->name, .format = file->format};
    }
    return disks;
  }

  /// An image's maker should not learn it from the first job.
  void warn_of_what_jobs_miss(const std::string& domain) {
    const auto doubts = doubts_about_domain(domain, request_.allowed_devices);
    if (!doubts.refusal.empty())
      tools_.reporter.warn("WARNING: jobs cannot run in this image: " + doubts.refusal);
    if (!doubts.lost.empty())
      tools_.reporter.warn("WARNING: a job's VM will not have: " + join(doubts.lost, ", "));
    if (!doubts.left_out.empty())
      tools_.reporter.detail("A job's VM will not have, and will not need: " + join(doubts.left_out, ", "));
    if (request_.strict && doubts.any())
      throw Error(
          Blame::job,
          "export: --strict was given, and jobs would miss something of this VM; nothing was exported");
  }

  void add_small(const std::string& content, std::string_view type, const std::string& history) {
    layers_.push_back(layout_.add_blob(content, type));
    config_.diff_ids.push_back(layers_.back().digest);
    config_.history.push_back(history);
  }

  void check_chunksize() const {
    constexpr std::uint64_t smallest = 64U << 10U;
    const auto size = request_.largest_layer;
    if (size != 0 && size < smallest)
      throw Error(Blame::job,
                  "export: --chunksize " + size_text(size) + " is too small; the minimum is 64 KiB");
  }

  void add_vm_config() {
    const auto text = read_named_file(request_.vm_config);
    if (parse_vm_config(text, request_.vm_config.string()).has_nameless_user)
      throw Error(Blame::job,
                  "export: read " + request_.vm_config.string() + ": the first user has no 'username'");
    for (const auto& doubt : doubts_about_vm_config(text))
      tools_.reporter.warn("WARNING: " + request_.vm_config.string() + ": " + doubt);
    add_small(text, media_type::vm_config, "vm config");
  }

  /// The variables' bytes; nothing, after a warning unless there are none, if they cannot be taken along.
  std::optional<std::string> read_uefi_variables(const fs::path& file) {
    std::error_code failed;
    const auto status = fs::status(file, failed);
    if (file.empty() || status.type() == fs::file_type::not_found) return std::nullopt;
    const auto leave_out = [&](const std::string& why) {
      tools_.reporter.warn("WARNING: left out of the image: the UEFI variables in " + file.string() + ", " +
                           why);
      return std::nullopt;
    };
    try {
      auto bytes = read_file(file);
      if (!is_variable_store(bytes)) return leave_out("which are not raw (libvirt: format='raw')");
      return bytes;
    } catch (const Error& error) {
      return leave_out(std::string("which this account cannot read (root can): ") + error.what());
    }
  }

  /// Returns whether the VM has any; that they cannot be taken along was said.
  bool add_uefi_variables(const fs::path& file) {
    std::error_code failed;
    const bool is_there = !file.empty() && fs::status(file, failed).type() != fs::file_type::not_found;
    if (const auto bytes = read_uefi_variables(file)) {
      layers_.push_back(layout_.add_blob(pack_uefi_variables(*bytes), media_type::uefi_variables));
      config_.diff_ids.push_back(Digest::of(*bytes));
      config_.history.push_back("UEFI variables");
      tools_.reporter.detail("Packed the UEFI variables in " + file.string());
    }
    return is_there;
  }

  static bool boots_by_uefi(const std::string& domain) {
    try {
      return read_image_domain(domain).firmware.is_uefi;
    } catch (const Error&) {
      return false;  // which a job would refuse anyhow, and was said
    }
  }

  /// Without its variables, firmware finds a loader in one place only.
  void warn_of_hidden_loader(const VmToExport& source) {
    for (const auto& disk : source.disks)
      if (look_for_removable_loader(tools_, disk.path, disk.format) != RemovableLoader::absent) return;
    tools_.reporter.warn(
        "WARNING: the image will not boot: it has no UEFI variables that lead to a loader, and no loader in "
        "\\EFI\\BOOT on its disks, the one place where UEFI looks by itself. In the VM, 'grub-install "
        "--removable' "
        "puts one there; or export a VM that has been started here, whose variables libvirt keeps");
  }

  void add_disk(const ChainFile& file) {
    const Phase phase(tools_.clock, tools_.reporter);
    const auto type = file.format == "qcow2" ? media_type::qemu_disk : media_type::other_disk;
    PackOptions options{.name = file.name,
                        .media_type = std::string(type),
                        .compression = request_.compression,
                        .chunk_limit = request_.largest_layer,
                        .threads = request_.threads,
                        .progress = progress_of(tools_.reporter, "packing " + file.name)};
    if (file.backing_text != file.backing_name)
      options.head = qcow2_head_with_backing(file.path, file.backing_name);
    const auto before = last_change(file.path);
    auto packed = pack_disk(file.path, layout_, options, tools_.cancellation);
    const auto after = last_change(file.path);
    if (before.tv_sec != after.tv_sec || before.tv_nsec != after.tv_nsec)
      throw Error(
          Blame::job,
          "export: " + file.path.string() +
              " was written to while it was being read; shut down the VM that uses it, or use --live");
    const auto size = size_of(file.path);
    packed.chunks.front().annotations = {{annotation::disk_name, file.name},
                                         {annotation::disk_size, std::to_string(size)}};
    if (!file.backing_name.empty())
      packed.chunks.front().annotations[annotation::disk_backing] = file.backing_name;
    // A VM of this repository has booted here: where the image comes slowly, this is what comes first.
    if (const auto order = boot_order_.find(file.name); order != boot_order_.end())
      packed.chunks.front().annotations[annotation::disk_boot_order] = stretches_text(order->second);
    layers_.insert(layers_.end(), packed.chunks.begin(), packed.chunks.end());
    config_.diff_ids.push_back(packed.diff_id);
    config_.history.push_back("gzip " + file.name);
    std::uint64_t compressed = 0;
    for (const auto& chunk : packed.chunks) compressed += chunk.size;
    compressed_ += compressed;
    phase.done("Packed " + (is_copy(file) ? file.name : file.path.string()) + ": " + size_text(size) +
               " as " + size_text(compressed) + " in " + std::to_string(packed.chunks.size()) + " layer(s)");
  }

  const CommandTools& tools_;
  const ExportRequest& request_;
  OciLayout layout_;
  BootOrder boot_order_;
  std::vector<Descriptor> layers_;
  ImageConfig config_;
  std::uint64_t compressed_ = 0;  ///< bytes of all disks
};

}  // namespace

NamedImage export_image(const CommandTools& tools, const ExportRequest& request) {
  const auto& [vm, container, tag, raw] = std::tie(request.vm, request.container, request.tag, request.raw);
  if (!container.empty() && !tag.empty())
    throw Error(Blame::job, "export: the image is named twice, as " + quote(container) + " and with --tag " +
                                quote(tag) + "; name it once");
  if (raw) {
    if (container.empty())
      throw Error(Blame::job, "export --raw: no folder given; name the folder for the layout");
    const OciLayout layout(container);
    return Exporter(tools, request, layout).run(source_of_export(tools, request), container, "latest");
  }
  const auto& named = container.empty() ? tag : container;
  const auto reference = ImageReference::parse(named.empty() ? lowered(vm) : named);
  if (reference.digest())
    throw Error(Blame::job,
                "export to " + quote(reference.text()) +
                    ": an image's digest follows from its content and cannot be chosen; name a tag instead");
  const auto layout = tools.images.catalogue.layout_of(reference);
  auto exported = Exporter(tools, request, layout)
                      .run(source_of_export(tools, request), reference.text(), reference.local_name());
  tools.reporter.say("Exported " + (request.disks.empty() ? "VM " + quote(vm) : std::string("the disks")) +
                     " as " + reference.text());
  return exported;
}

}  // namespace sarde
