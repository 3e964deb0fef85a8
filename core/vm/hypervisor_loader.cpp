#include "core/vm/hypervisor_loader.hpp"

#include <dlfcn.h>

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

bool is_session(const std::string& uri) {
  return uri.find("/session") != std::string::npos;
}

}  // namespace sarde
