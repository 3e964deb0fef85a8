#include "core/vm/firmware_files.hpp"

#include <algorithm>
#include <map>

#include "core/foundation/json_reading.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

bool has_word(const json& list, std::string_view word) {
  return std::ranges::any_of(list, [&](const json& one) { return one.get<std::string>() == word; });
}

/// Machines are patterns: pc-q35-*.
bool is_for_machine(const json& target, const FirmwareNeed& need) {
  if (target.at("architecture").get<std::string>() != need.architecture) return false;
  const auto part = need.machine == "pc" ? std::string("i440fx") : need.machine;
  return std::ranges::any_of(target.at("machines"), [&](const json& pattern) {
    return pattern.get<std::string>().find(part) != std::string::npos;
  });
}

/// The file with the variables, if the description is of such firmware.
std::optional<fs::path> template_in(const json& description, const FirmwareNeed& need) {
  const auto& mapping = description.at("mapping");
  const auto& features = description.at("features");
  const bool fits = has_word(description.at("interface-types"), "uefi") && mapping.at("device") == "flash" &&
                    mapping.contains("nvram-template") &&
                    has_word(features, "secure-boot") == need.secure_boot &&
                    (!need.enrolled_keys || has_word(features, "enrolled-keys") == *need.enrolled_keys) &&
                    std::ranges::any_of(description.at("targets"),
                                        [&](const json& target) { return is_for_machine(target, need); });
  if (!fits) return std::nullopt;
  const auto& file = mapping.at("nvram-template");
  return file.value("format", "raw") == "raw" ? fs::path(file.at("filename").get<std::string>()) : fs::path();
}

/// By their names; one in an earlier folder takes the place of one of the same name.
std::map<std::string, fs::path> descriptions_in(const std::vector<fs::path>& folders) {
  std::map<std::string, fs::path> found;
  for (const auto& folder : folders) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored))
      if (entry.path().extension() == ".json") found.emplace(entry.path().filename(), entry.path());
  }
  return found;
}

}  // namespace

std::vector<fs::path> firmware_folders() {
  return {"/etc/qemu/firmware", "/usr/share/qemu/firmware"};
}

std::optional<std::uint64_t> size_of_uefi_variables(const FirmwareNeed& need,
                                                    const std::vector<fs::path>& folders) {
  for (const auto& [name, path] : descriptions_in(folders)) {
    try {
      const auto found = read_json(read_file(path), path.string(), Blame::host,
                                   [&](const json& description) { return template_in(description, need); });
      std::error_code failed;
      if (!found) continue;
      if (found->empty()) return 0;  // not raw: no file of variables that we have fits
      const auto size = fs::file_size(*found, failed);
      return failed ? std::nullopt : std::optional<std::uint64_t>(size);
    } catch (const Error&) {
      continue;  // libvirt skips what it cannot read, too
    }
  }
  return std::nullopt;
}

}  // namespace sarde
