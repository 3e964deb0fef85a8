#include "executor/virtiofsd.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/mount.h>
#include <unistd.h>

#include "core/system/virtiofsd_place.hpp"

namespace sarde {

namespace {

/// The value of `source` in `-o source=/a,cache=auto`; empty if there is none.
std::string source_in(int argc, char** argv) {
  constexpr std::string_view key = "source=";
  for (int i = 1; i < argc; ++i) {
    std::string_view rest = argv[i];
    while (!rest.empty()) {
      const auto word = rest.substr(0, rest.find(','));
      if (word.starts_with(key)) return std::string(word.substr(key.size()));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
  }
  return "";
}

int fail(const char* what) {
  std::fprintf(stderr, "sarde-virtiofsd: %s: %s\n", what, std::strerror(errno));
  return 1;
}

}  // namespace

int become_read_only_virtiofsd(int argc, char** argv) {
  const auto server = virtiofsd_place();
  if (server.empty()) return fail("find virtiofsd");
  // libvirt asks what it can do, before there is a folder.
  if (const auto source = source_in(argc, argv); !source.empty()) {
    if (::unshare(CLONE_NEWNS) != 0) return fail("make a mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
      return fail("keep mounts to oneself");
    if (::mount(source.c_str(), source.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
      return fail("bind the folder");
    constexpr unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY;
    if (::mount(nullptr, source.c_str(), nullptr, flags, nullptr) != 0)
      return fail("make the folder read-only");
  }
  ::execv(server.c_str(), argv);
  return fail("run virtiofsd");
}

}  // namespace sarde
