#include "executor/commands/local_image.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/files.hpp"
#include "executor/commands/export_command.hpp"

namespace sarde {

namespace {

/// Of the VM's definition, and of the size and modification time of every file of its disks.
ImageReference image_of_state(const CommandTools& tools, const std::string& vm, const ImageReference& repository) {
  auto& hypervisor = tools.hypervisor();
  if (!hypervisor.domains().contains(vm))
    throw Error(Blame::job, "there is no VM " + quote(vm) + " on this host (virsh list --all)");
  auto state = vm + "\n" + hypervisor.definition(vm) + "\n";
  for (const auto& domain : hypervisor.domain_files()) {
    if (domain.name != vm) continue;
    for (const auto& file : domain.files) {
      struct stat status {};

      if (::stat(file.c_str(), &status) != 0) continue;  // export says what is missing
      state += fmt::format("{} {} {}.{}\n", file.string(), status.st_size, status.st_mtim.tv_sec,
                           status.st_mtim.tv_nsec);
    }
  }
  constexpr std::size_t digits = 16;
  return ImageReference::parse(repository.repository() + ":" + Digest::of(state).hex().substr(0, digits));
}

}  // namespace

ImageReference image_of_local_vm(const CommandTools& tools, const std::string& vm,
                                 const ImageReference& repository, unsigned threads) {
  return within("vm:" + vm, [&] {
    constexpr std::chrono::hours patience(1);
    const auto& catalogue = tools.images.catalogue;
    auto image = image_of_state(tools, vm, repository);
    if (catalogue.has(image)) return image;
    // One job makes it; the others wait and find it.
    const auto folder = catalogue.layout_of(repository).folder();
    make_folders(folder, 0700);
    const auto lock = FileLock::wait_for(
        folder / ".sarde.vm.lock",
        {.clock = tools.clock, .cancellation = tools.cancellation, .deadline = tools.clock.now() + patience});
    image = image_of_state(tools, vm, repository);
    if (catalogue.has(image)) return image;
    tools.reporter.say("Making an image of VM " + quote(vm) + ", of which there is none in its present state");
    export_image(tools, {.vm = vm, .container = image.text(), .compression = Compression::fast, .threads = threads});
    if (image_of_state(tools, vm, repository).text() != image.text())
      throw Error(Blame::job, "the VM has changed while an image of it was made; shut it down, and try again");
    return image;
  });
}

}  // namespace sarde
