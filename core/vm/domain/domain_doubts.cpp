#include "core/vm/domain/domain_doubts.hpp"

#include <algorithm>
#include <array>

#include "core/foundation/error.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

namespace {

/// Nobody looks at a job's VM or listens to it, and how the host shares itself out is the administrator's.
bool is_harmless(const std::string& path) {
  constexpr std::array<std::string_view, 17> harmless{"devices/graphics",
                                                      "devices/sound",
                                                      "devices/audio",
                                                      "devices/redirdev",
                                                      "devices/redirfilter",
                                                      "devices/smartcard",
                                                      "devices/vsock",
                                                      "devices/hub",
                                                      "devices/crypto",
                                                      "cputune",
                                                      "memtune",
                                                      "numatune",
                                                      "blkiotune",
                                                      "perf",
                                                      "sysinfo",
                                                      "maxMemory",
                                                      "devices/video/model/acceleration"};
  return is_one_of(path, harmless);
}

std::size_t network_cards(std::string_view image_xml) {
  pugi::xml_document document;
  parse_domain_text(document, image_xml, "the image's domain");
  const auto cards = document.document_element().child("devices").children("interface");
  return static_cast<std::size_t>(std::distance(cards.begin(), cards.end()));
}

}  // namespace

DomainDoubts doubts_about_domain(std::string_view image_xml,
                                 const std::vector<std::string>& allowed_devices) {
  DomainDoubts doubts;
  try {
    refuse_what_no_job_may_have(image_xml, allowed_devices);
    JobVm vm{.name = VmName::of_job("1", ""), .image_xml = std::string(image_xml)};
    vm.allowed_devices = allowed_devices;
    for (const auto& disk : read_image_domain(image_xml).disks) vm.disk_files[disk.file] = {};
    for (const auto& path : build_job_domain(vm).left_out)
      (is_harmless(path) ? doubts.left_out : doubts.lost).push_back(path);
    if (network_cards(image_xml) > 1) doubts.lost.emplace_back("devices/interface, but for the first");
  } catch (const Error& error) {
    doubts.refusal = error.what();
  }
  return doubts;
}

}  // namespace sarde
