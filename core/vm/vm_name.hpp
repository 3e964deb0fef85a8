#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sarde {

/// The name of a job's VM, and of its folder: `sarde-<job id>-<8 hexadecimal digits>`.
class VmName {
 public:
  /// `distinction` distinguishes jobs with the same id from different GitLab servers on one host. Only a hash
  /// of it is used.
  static VmName of_job(std::string_view job_id, std::string_view distinction);

  /// Nothing if it is not the name of a job's VM.
  static std::optional<VmName> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }

  /// A MAC address derived from the name, in QEMU's range 52:54:00.
  [[nodiscard]] std::string mac_address() const;

  auto operator<=>(const VmName&) const = default;

 private:
  explicit VmName(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

}  // namespace sarde
