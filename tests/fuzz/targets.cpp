#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include "config/option_table.hpp"
#include "config/option_value.hpp"
#include "config/units.hpp"
#include "core/foundation/digest.hpp"
#include "core/foundation/text.hpp"
#include "core/image/layout/oci_manifest.hpp"
#include "core/image/layout/vm_config.hpp"
#include "core/image/reference/image_reference.hpp"
#include "core/job/job_environment.hpp"
#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/vm_name.hpp"
#include "tests/fuzz/file_targets.hpp"
#include "tests/support/spent.hpp"

namespace sarde::fuzz {

namespace {

std::string text_of(Input bytes) {
  return {bytes.begin(), bytes.end()};
}

/// Time and memory in proportion to the input, with room for small ones and for a busy machine. (Under a
/// sanitizer the factors are larger, not the shape.)
void must_be_linear(Input bytes, const std::function<void()>& work) {
  const auto spent = sarde::testing::spent_in(work);
  const auto size = static_cast<double>(bytes.size());
  must(spent.seconds < 0.5 + size * 20e-6);
  must(static_cast<double>(spent.peak) < (4U << 20U) + size * 400);
}

void read_manifest(Input bytes) {
  const auto text = text_of(bytes);
  tolerate([&] { static_cast<void>(is_index(text)); });
  tolerate([&] {
    const auto parsed = parse_manifest(text, "it");
    static_cast<void>(to_text(parsed));
    static_cast<void>(vm_layers(parsed, "it"));
  });
}

void manifest(Input bytes) {
  must_be_linear(bytes, [&] { read_manifest(bytes); });
}

void index(Input bytes) {
  tolerate([&] { static_cast<void>(to_text(parse_index(text_of(bytes), "it"))); });
}

void image_config(Input bytes) {
  tolerate([&] { static_cast<void>(parse_image_config(text_of(bytes), "it")); });
}

void vm_config(Input bytes) {
  tolerate([&] { static_cast<void>(parse_vm_config(text_of(bytes), "it")); });
}

/// The same of what `import` and `clone` define, which has more of the image's.
void check_definition(const std::string& xml, std::size_t disks) {
  constexpr std::array<std::string_view, 11> never{"<hostdev",    "<qemu:",     "<kernel",   "<initrd",
                                                   "<filesystem", "<loader",    "<emulator", "<shmem",
                                                   "<redirdev",   "<smartcard", "<log"};
  for (const auto element : never) must(xml.find(element) == std::string::npos);
  for (const auto& disk : parse_domain(xml, "it").disks)
    must(disk.file == "/overlay" && disk.format == "qcow2");
  must(disk_targets(xml).size() >= disks);
}

/// However the image's domain was, the job's has these disks and nothing that reaches for the host. (A `<` in
/// a value is written as an entity: what looks like an element is one.)
void check_job_domain(const std::string& xml, std::size_t disks) {
  constexpr std::array<std::string_view, 12> never{"<hostdev",    "<qemu:",    "<kernel",   "<initrd",
                                                   "<filesystem", "<seclabel", "<loader",   "<emulator",
                                                   "<shmem",      "<tpm",      "<redirdev", "<smartcard"};
  for (const auto element : never) must(xml.find(element) == std::string::npos);
  const auto built = parse_domain(xml, "it");
  must(built.disks.size() == disks);
  for (const auto& disk : built.disks) must(disk.file == "/overlay" && disk.format == "qcow2");
}

void read_domain(Input bytes) {
  const auto xml = text_of(bytes);
  tolerate([&] { static_cast<void>(elements_to_refuse(xml, {})); });
  tolerate([&] { static_cast<void>(files_of_domain(xml)); });
  tolerate([&] { static_cast<void>(volumes_of_domain(xml)); });
  tolerate([&] { static_cast<void>(disk_targets(xml)); });
  tolerate([&] {
    const auto parsed = parse_domain(xml, "it");
    JobVm plan{.name = VmName::of_job("7", "x"), .image_xml = xml};
    for (const auto& disk : parsed.disks) {
      plan.disk_files[disk.file] = {.path = "/overlay", .format = "qcow2"};
    }
    tolerate([&] { check_job_domain(build_job_domain(plan).xml, parsed.disks.size()); });
    tolerate([&] { static_cast<void>(domain_for_export(xml, {.kept = {{0, {.file = "a", .format = "raw"}}}, .emptied = {1}, .dropped = {2}})); });
    tolerate([&] { check_definition(domain_to_define(xml, {.name = "x", .files = plan.disk_files}).xml, parsed.disks.size()); });
    tolerate([&] { static_cast<void>(domain_of_copy(xml, {.name = "x", .files = plan.disk_files})); });
  });
}

void domain(Input bytes) {
  must_be_linear(bytes, [&] { read_domain(bytes); });
}

void reference(Input bytes) {
  tolerate([&] {
    const auto parsed = ImageReference::parse(text_of(bytes));
    // What was read leads nowhere but into its own folder.
    const auto folder = parsed.folder().string();
    must(!folder.empty() && folder.front() != '/' && ("/" + folder + "/").find("/../") == std::string::npos);
    must(ImageReference::parse(parsed.text()).text() == parsed.text());
  });
}

void job_response(Input bytes) {
  tolerate([&] {
    const auto job = parse_job_response(text_of(bytes), "it");
    const auto name = VmName::of_job(job.id, job.distinction);
    must(VmName::parse(name.text()) == name);
  });
}

/// Short texts: what a job may set, what QEMU and libvirt answer, digests and names.
void words(Input bytes) {
  const auto text = text_of(bytes);
  for (const auto& rule : option_table) {
    tolerate([&] { check_value(rule, {.items = {text}, .origin = "it"}); });
  }
  static_cast<void>(parse_size(text));
  static_cast<void>(parse_seconds(text));
  static_cast<void>(port_in_usernet(text, 22));
  static_cast<void>(stream_in_network(text, "passt0"));
  static_cast<void>(job_in_metadata(text));
  static_cast<void>(usable_virt_type(true, "x86_64", text));
  if (const auto digest = Digest::parse(text)) must(digest->text() == text);
  if (const auto name = VmName::parse(text)) must(name->text() == text);
  for (const char c : printable_tail(text, 3))
    must(c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 32);
}

constexpr std::array<NamedTarget, 13> all{{{"gzip", gzip},
                                           {"disk", disk},
                                           {"manifest", manifest},
                                           {"index", index},
                                           {"image_config", image_config},
                                           {"vm_config", vm_config},
                                           {"domain", domain},
                                           {"qcow2", qcow2},
                                           {"reference", reference},
                                           {"ini", ini},
                                           {"settings", settings},
                                           {"job_response", job_response},
                                           {"words", words}}};

}  // namespace

std::span<const NamedTarget> targets() {
  return all;
}

Target find_target(std::string_view name) {
  const auto* const found = std::ranges::find(all, name, &NamedTarget::name);
  return found == all.end() ? nullptr : found->run;
}

}  // namespace sarde::fuzz
