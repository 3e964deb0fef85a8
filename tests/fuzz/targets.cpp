#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "config/ini_text.hpp"
#include "core/foundation/error.hpp"
#include "core/image/gzip_stream.hpp"
#include "core/image/image_reference.hpp"
#include "core/image/oci_manifest.hpp"
#include "core/image/qcow2_header.hpp"
#include "core/image/vm_config.hpp"
#include "core/job/job_environment.hpp"
#include "core/vm/domain_policy.hpp"
#include "core/vm/domain_xml.hpp"

namespace sarde::fuzz {

namespace {

using Input = std::span<const unsigned char>;

std::string text_of(Input bytes) {
  return {bytes.begin(), bytes.end()};
}

/// Runs it; an Error is an answer like any other.
template <typename Parse>
void tolerate(Parse parse) {
  try {
    parse();
  } catch (const Error&) {
  }
}

/// The walk over a disk's members, as an import does it.
void gzip(Input bytes) {
  tolerate([&] {
    MemberDecompressor opener;
    Buffer data;
    while (!bytes.empty()) {
      const auto header = parse_member_header(bytes);
      if (!header) return;
      if (header->member_size && *header->member_size >= header->header_size && *header->member_size <= bytes.size()) {
        tolerate([&] { opener.decompress(bytes.first(*header->member_size), data); });
        bytes = bytes.subspan(*header->member_size);
        continue;
      }
      bytes = bytes.subspan(header->header_size);
      MemberInflater inflater;
      constexpr std::size_t room = 64U << 10U;
      constexpr int most_rounds = 64;
      for (int round = 0; round < most_rounds; ++round) {
        auto* const out = data.make(room);
        const auto step = inflater.inflate(bytes, {out, room});
        bytes = bytes.subspan(step.read);
        if (step.ended) break;
        if (step.read == 0 && step.written == 0) return;
      }
    }
  });
}

void manifest(Input bytes) {
  const auto text = text_of(bytes);
  tolerate([&] { static_cast<void>(is_index(text)); });
  tolerate([&] {
    const auto parsed = parse_manifest(text, "it");
    static_cast<void>(to_text(parsed));
    static_cast<void>(vm_layers(parsed, "it"));
  });
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

void domain(Input bytes) {
  const auto xml = text_of(bytes);
  tolerate([&] { static_cast<void>(elements_to_refuse(xml, {})); });
  tolerate([&] { static_cast<void>(files_of_domain(xml)); });
  tolerate([&] {
    const auto parsed = parse_domain(xml, "it");
    JobDomainPlan plan{.name = VmName::of_job("7", "x")};
    std::map<std::string, std::string> names;
    for (const auto& disk : parsed.disks) {
      plan.disk_files[disk.file] = {.path = "/overlay", .format = "qcow2"};
      names[disk.file] = "disk";
    }
    tolerate([&] { static_cast<void>(build_job_domain(xml, plan)); });
    tolerate([&] { static_cast<void>(domain_for_export(xml, names)); });
    tolerate([&] { static_cast<void>(domain_to_define(xml, "x", plan.disk_files)); });
  });
}

void qcow2(Input bytes) {
  tolerate([&] { static_cast<void>(parse_qcow2_header(bytes, "it")); });
}

void reference(Input bytes) {
  tolerate([&] {
    const auto parsed = ImageReference::parse(text_of(bytes));
    // What was read leads nowhere but into its own folder.
    const auto folder = parsed.folder().string();
    if (folder.empty() || folder.front() == '/' || ("/" + folder + "/").find("/../") != std::string::npos) __builtin_trap();
    static_cast<void>(ImageReference::parse(parsed.text()));
  });
}

void ini(Input bytes) {
  tolerate([&] { static_cast<void>(parse_ini(text_of(bytes), "it")); });
}

void job_response(Input bytes) {
  tolerate([&] { static_cast<void>(parse_job_response(text_of(bytes), "it")); });
}

constexpr std::array<NamedTarget, 10> all{{{"gzip", gzip},
                                           {"manifest", manifest},
                                           {"index", index},
                                           {"image_config", image_config},
                                           {"vm_config", vm_config},
                                           {"domain", domain},
                                           {"qcow2", qcow2},
                                           {"reference", reference},
                                           {"ini", ini},
                                           {"job_response", job_response}}};

}  // namespace

std::span<const NamedTarget> targets() {
  return all;
}

Target find_target(std::string_view name) {
  const auto* const found = std::ranges::find(all, name, &NamedTarget::name);
  return found == all.end() ? nullptr : found->run;
}

}  // namespace sarde::fuzz
