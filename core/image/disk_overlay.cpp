#include "core/image/disk_overlay.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

void create_overlay(const DiskOverlay& overlay, const Environment& environment, const ProgramLimits& limits) {
  const auto& all = environment.all();
  const Program qemu_img{.argv = {"qemu-img", "create", "-q", "-f", "qcow2", "-F", overlay.base_format, "-b",
                                  overlay.base.string(), overlay.overlay.string()},
                         .environment = {all.begin(), all.end()}};
  const auto result = run_program(qemu_img, limits);
  if (!result.succeeded()) {
    throw Error("make a thin copy of " + overlay.base.string() + ": qemu-img says " +
                quote(printable_tail(result.errors, 3), 600));
  }
}

}  // namespace sarde
