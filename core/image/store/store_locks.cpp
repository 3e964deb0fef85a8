#include "core/image/store/store_locks.hpp"

#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;

fs::path blobs_lock(const OciLayout& layout) {
  return layout.folder() / ".sarde.fetch.lock";
}

fs::path unpacked_lock(const fs::path& vmdir, const std::string& name) {
  return vmdir / ("." + name + ".lock");
}

FileLock::Waiting StoreLocks::waiting(const std::string& what) const {
  return {.clock = clock_,
          .cancellation = cancellation_,
          .deadline = clock_.now() + settings_.lock_timeout,
          .announce = [this, what] {
            if (settings_.announce)
              settings_.announce("waiting for another process that is at work on " + what);
          }};
}

FileLock StoreLocks::of_blobs(const OciLayout& layout) const {
  make_folders(settings_.ocidir, 0700);
  layout.create();
  return FileLock::wait_for(blobs_lock(layout), waiting("blobs of " + layout.folder().string()));
}

FileLock StoreLocks::of_unpacked(const std::string& name) const {
  return FileLock::wait_for(unpacked_lock(settings_.vmdir, name), waiting("unpacked image " + name));
}

FileLock::Waiting StoreLocks::for_index(const OciLayout& layout) const {
  return waiting("index of " + layout.folder().string());
}

}  // namespace sarde
