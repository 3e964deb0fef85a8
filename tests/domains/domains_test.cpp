// Each file here is a definition of the shape that people's VMs have, with what becomes of it in its first
// line:
//   <!-- runs; left out: devices/sound; argv: virtio-blk-pci | !pflash | kvm: hv-relaxed=on -->
//   <!-- refused: <devices/hostdev> -->
//   <!-- libvirt 9 cannot -->
// `left out` is what a job's VM does not get and is told of under -v ("-": nothing); `argv` lists pieces of
// QEMU's command line that must be there, or, after a "!", must not; "kvm:" counts for KVM only, "xml:" is
// looked for in the job's domain (domxml-to-native places network cards anew). Each definition goes the way
// of an image: exported, judged, and written anew for a job and for `import`, under emulation and under KVM.
// libvirt then checks it against its schema and defines it.
#include <algorithm>
#include <memory>

#include <doctest/doctest.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/job_domain.hpp"

using namespace sarde;
namespace fs = std::filesystem;

namespace {

struct Fate {
  std::string kind;  ///< runs, refused, libvirt 9 cannot
  std::string refusal = {};
  std::vector<std::string> left_out = {};
  std::vector<std::string> argv = {};
};

std::vector<std::string> items(const std::string& text, char between) {
  std::vector<std::string> all;
  for (const auto& item : split(text, between))
    if (const auto word = trimmed(item); !word.empty() && word != "-") all.push_back(word);
  return all;
}

Fate fate_in(const std::string& xml) {
  const auto line = xml.substr(0, xml.find('\n'));
  REQUIRE(line.starts_with("<!-- "));
  REQUIRE(line.ends_with(" -->"));
  const auto text = line.substr(5, line.size() - 9);
  if (text.starts_with("refused: ")) return {.kind = "refused", .refusal = text.substr(9)};
  const auto left_out = text.find("; left out: ");
  if (left_out == text.npos) return {.kind = text};
  const auto argv = text.find("; argv: ");
  REQUIRE(argv != text.npos);
  return {.kind = text.substr(0, left_out),
          .left_out = items(text.substr(left_out + 12, argv - left_out - 12), ','),
          .argv = items(text.substr(argv + 8), '|')};
}

/// An exported definition, with what its disks are called in the image.
std::string exported(const std::string& xml) {
  ExportedDisks disks;
  for (const auto& disk : source_disks(xml))
    if (disk.type == "file" && !disk.is_empty)
      disks.kept[disk.element] = {.file = fs::path(disk.path).filename(),
                                  .format = disk.format.empty() ? "raw" : disk.format};
  return domain_for_export(xml, disks);
}

DiskFiles files_for(const std::string& image_xml) {
  DiskFiles files;
  for (const auto& disk : parse_domain(image_xml, "it").disks)
    files[disk.file] = {.path = "/jobs/" + disk.file, .format = disk.format.empty() ? "raw" : disk.format};
  return files;
}

JobVm plan_for(const std::string& image_xml, VirtType virt_type) {
  return {.name = VmName::of_job("7", "x"),
          .image_xml = image_xml,
          .job_id = "7",
          .title = "a job",
          .folder = "/jobs",
          .virt_type = virt_type,
          .disk_files = files_for(image_xml),
          .console_log = "/jobs/console.log",
          .nvram = "/jobs/nvram.fd"};
}

class Libvirt {
 public:
  Libvirt() {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    connection_ = virConnectOpen("qemu:///session");
    REQUIRE_MESSAGE(connection_ != nullptr, virGetLastErrorMessage());
  }

  ~Libvirt() { virConnectClose(connection_); }

  Libvirt(const Libvirt&) = delete;
  Libvirt& operator=(const Libvirt&) = delete;

  /// Defines it, checked against the schema, and forgets it again. Returns what is wrong.
  std::string define(const std::string& xml) {
    auto* domain = virDomainDefineXMLFlags(connection_, xml.c_str(), VIR_DOMAIN_DEFINE_VALIDATE);
    if (domain == nullptr) return virGetLastErrorMessage();
    virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM);
    virDomainFree(domain);
    return "";
  }

  std::string command_line(const std::string& xml) {
    auto* text = virConnectDomainXMLToNative(connection_, "qemu-argv", xml.c_str(), 0);
    if (text == nullptr) return std::string("none: ") + virGetLastErrorMessage();
    const std::string copy = text;
    std::free(text);  // NOLINT: libvirt's contract
    return copy;
  }

  bool has_kvm(const std::string& architecture) {
    auto* text =
        virConnectGetDomainCapabilities(connection_, nullptr, architecture.c_str(), nullptr, "kvm", 0);
    const bool has = text != nullptr;
    std::free(text);  // NOLINT: libvirt's contract
    return has;
  }

 private:
  virConnectPtr connection_ = nullptr;
};

void check_pieces(const std::string& command_line, const std::string& xml, const Fate& fate,
                  VirtType virt_type) {
  INFO(command_line);
  for (auto piece : fate.argv) {
    const bool is_of_xml = piece.starts_with("xml:");
    const auto& line = is_of_xml ? xml : command_line;
    if (is_of_xml) piece = trimmed(piece.substr(4));
    if (piece.starts_with("kvm:")) {
      if (virt_type != VirtType::kvm) continue;
      piece = trimmed(piece.substr(4));
    }
    CAPTURE(piece);
    if (piece.starts_with('!')) {
      CHECK(line.find(piece.substr(1)) == line.npos);
    } else {
      CHECK(line.find(piece) != line.npos);
    }
  }
}

void check_refused(const std::string& xml, const std::string& sentence) {
  try {
    refuse_what_no_job_may_have(exported(xml), {});
    FAIL_CHECK("it is accepted");
  } catch (const Error& error) {
    const std::string message = error.what();
    CAPTURE(message);
    CHECK(error.blame() == Blame::job);
    CHECK(message.find(sentence) != message.npos);
  }
}

void check_accepted(Libvirt& libvirt, const std::string& xml, const Fate& fate) {
  const auto image = exported(xml);
  refuse_what_no_job_may_have(image, {});
  const auto architecture = parse_domain(image, "it").architecture;
  for (const auto virt_type : {VirtType::qemu, VirtType::kvm}) {
    if (virt_type == VirtType::kvm && !libvirt.has_kvm(architecture)) continue;
    const auto job = build_job_domain(plan_for(image, virt_type));
    const auto files = files_for(image);
    const auto imported =
        domain_to_define(image, {.name = "imported", .files = files, .virt_type = virt_type});
    const auto of_job = libvirt.define(job.xml);
    const auto of_import = libvirt.define(imported.xml);
    INFO(job.xml);
    if (fate.kind != "runs") {
      CHECK(of_job != "");
      continue;
    }
    CHECK(of_job == "");
    CHECK(of_import == "");
    CHECK(join(job.left_out, ", ") == join(fate.left_out, ", "));
    check_pieces(libvirt.command_line(job.xml), job.xml, fate, virt_type);
  }
}

}  // namespace

TEST_CASE("domains: what people's VMs are, and what becomes of them") {
  Libvirt libvirt;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(SARDE_SOURCE_DIR "/tests/domains"))
    if (entry.path().extension() == ".xml") files.push_back(entry.path());
  std::ranges::sort(files);
  CHECK(files.size() >= 150);
  for (const auto& file : files) {
    CAPTURE(file.filename().string());
    const auto xml = read_file(file);
    const auto fate = fate_in(xml);
    if (fate.kind == "refused") {
      check_refused(xml, fate.refusal);
    } else {
      CHECK_NOTHROW(check_accepted(libvirt, xml, fate));
    }
  }
}
