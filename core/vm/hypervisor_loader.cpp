#include "core/vm/hypervisor_loader.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include "core/foundation/error.hpp"

namespace sarde {

std::unique_ptr<Hypervisor> connect_hypervisor(const std::string& uri,
                                               const std::vector<std::filesystem::path>& folders) {
  std::string tried;
  for (const auto& folder : folders) {
    const auto path = folder / "sarde-libvirt.so";
    // Never closed: libvirt keeps threads and thread-local data of its own.
    void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
      // dlerror's text is a thread's own in glibc.
      tried += std::string(tried.empty() ? "" : "; ") + ::dlerror();  // NOLINT(concurrency-mt-unsafe)
      continue;
    }
    void* symbol = ::dlsym(module, connect_function_name);
    if (symbol == nullptr) throw Error("load " + path.string() + ": it is not this program's libvirt module");
    return std::unique_ptr<Hypervisor>(reinterpret_cast<ConnectFunction>(symbol)(uri));
  }
  throw Error(
      "load the libvirt module, which has to be beside the program or in ../lib/sarde-executor: " + tried +
      "; if only the program was copied, copy sarde-libvirt.so too (or use 'cmake --install'); if it is "
      "there, type 'apt-get install libvirt0'");
}

std::vector<std::filesystem::path> module_folders() {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  return {folder, folder.parent_path() / "lib" / "sarde-executor"};
}

bool is_session(const std::string& uri) {
  return uri.find("/session") != std::string::npos;
}

bool may_define(const std::string& uri, const std::string& beginning, const Environment& environment) {
  // root's session is the system's.
  const bool is_users = uri == "qemu:///session" && ::geteuid() != 0;
  if (!is_users && uri != "qemu:///system" && uri != "qemu:///session") return true;
  const auto home = environment.non_empty("HOME");
  if (is_users && !home) return true;
  const auto folder =
      is_users
          ? std::filesystem::path(environment.non_empty("XDG_CONFIG_HOME").value_or(*home + "/.config")) /
                "libvirt/qemu"
          : std::filesystem::path("/etc/libvirt/qemu");
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator(folder, error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error))
    if (at->path().filename().string().starts_with(beginning)) return true;
  return error && !(is_users && error == std::errc::no_such_file_or_directory);
}

}  // namespace sarde
