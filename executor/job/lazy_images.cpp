#include "executor/job/lazy_images.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// The disks that a VM uses as they are, without a thin copy: QEMU opens them by themselves.
std::set<std::string> disks_without_copy(const StoredImage& image) {
  std::set<std::string> names;
  for (const auto& disk : parse_domain(image.domain_xml, "the image's domain").disks)
    if (disk.read_only || disk.device == "cdrom") names.insert(disk.file);
  return names;
}

}  // namespace

bool TransferEstimate::is_long(std::uint64_t done, std::uint64_t total) {
  constexpr milliseconds long_enough_to_tell(2'000);
  constexpr std::chrono::seconds bearable(20);
  if (is_decided_ || done == 0 || done > total) return false;
  const auto now = clock_.now();
  if (!start_) {
    start_ = now;
    at_start_ = done;
  }
  const auto taken = now - *start_;
  if (taken < long_enough_to_tell) return false;
  is_decided_ = true;
  const auto came = static_cast<double>(std::max<std::uint64_t>(done - at_start_, 1));
  const auto left = std::chrono::duration<double>(taken) * (static_cast<double>(total - done) / came);
  return left > bearable;
}

ObtainedImage LazyImages::served(StoredImage image, std::shared_ptr<const UniqueFd> hold) const {
  const auto folder = PartialImage::folder_of(parts_.images.unpacked.folder(), image.manifest.digest);
  ObtainedImage obtained{
      .image = std::move(image),
      .unpacked = {.folder = folder, .served_at = socket_in(folder), .hold = std::move(hold)}};
  const auto grids = layer_grids(obtained.image.disks).value();
  for (const auto& grid : grids) obtained.unpacked.disks.push_back(grid.name);
  return obtained;
}

std::optional<ObtainedImage> LazyImages::obtain(const ObtainRequest& request, bool may_start,
                                                Registry& registry, const RegistryAccess& access) {
  const auto& vmdir = parts_.images.unpacked.folder();
  const auto& manifest = request.announced->digest;
  const auto folder = PartialImage::folder_of(vmdir, manifest);
  if (!can_be_served(folder)) {
    parts_.reporter.detail("The VM waits for its image: the path of vmdir is too long for a socket in it");
    return std::nullopt;
  }
  constexpr milliseconds pause(50);
  const auto deadline = parts_.clock.now() + parts_.order.store.lock_timeout;
  bool is_announced = false;
  int ended = 0;
  while (parts_.images.fetcher.can_obtain_partly(request, registry)) {
    if (PartialImage::is_there_for(request.reference.repository(), vmdir, manifest)) {
      if (auto hold = hold_disk_server(folder)) {
        auto image = parts_.images.fetcher.obtain_description(request, registry, access);
        parts_.images.catalogue.tag(image.layout, image.manifest, image.tag);
        if (!holds_disk_server(*hold)) continue;  // it has failed, or was killed, meanwhile
        pass_credentials(folder, access.authfile);
        auto joined = served(std::move(image), std::move(hold));
        joined.unpacked.was_there = true;
        return joined;
      }
    } else if (PartialImage::is_there(vmdir, manifest)) {
      return std::nullopt;  // it is another repository's alone
    }
    if (!may_start) return std::nullopt;
    make_folders(vmdir, 0700);
    if (const auto lock = FileLock::try_for(unpacked_lock(vmdir, manifest.text()))) {
      // Somebody may have done all of it meanwhile.
      if (!parts_.images.fetcher.can_obtain_partly(request, registry)) return std::nullopt;
      if (auto started = start(request, *lock, registry, access)) return started;
      constexpr int enough = 3;
      if (++ended == enough)
        throw Error(
            "start the server of the image's disks: it is killed each time; see why in the kernel's log");
      continue;
    }
    if (parts_.clock.now() >= deadline) return std::nullopt;
    if (!std::exchange(is_announced, true))
      parts_.reporter.say("  waiting for another process that is at work on the image's disks");
    parts_.clock.sleep(pause, parts_.cancellation);
  }
  return std::nullopt;
}

bool LazyImages::has_come(const ObtainedImage& image) {
  return PartialImage::has_all_layers(image.unpacked.folder, layer_grids(image.image.disks).value());
}

ObtainedImage LazyImages::wait_for_all_of(ObtainedImage image) {
  DiskServerWatch watch(image.unpacked.folder, parts_.environment);
  constexpr milliseconds pause(200);
  const auto& unpacked = parts_.images.unpacked;
  std::optional<TimePoint> deadline;  // for the others that hold the server
  for (; !unpacked.has_shared(image.image); parts_.clock.sleep(pause, parts_.cancellation)) {
    watch.look();
    if (!has_come(image)) continue;
    image.unpacked.hold.reset();
    if (!deadline) deadline = parts_.clock.now() + parts_.order.store.lock_timeout;
    if (parts_.clock.now() >= *deadline)
      throw Error("wait for the image's disks: VMs of other jobs still use " +
                  image.unpacked.folder.string() +
                  "; run the job again when they have ended ('sarde-executor jobs' lists them)");
  }
  image.unpacked = unpacked.unpack_shared(image.image, progress_of(parts_.reporter, "unpacking"));
  return image;
}

/// Nothing if the server was killed before it could begin.
std::optional<ObtainedImage> LazyImages::start(const ObtainRequest& request, const FileLock& lock,
                                               Registry& registry, const RegistryAccess& access) {
  auto [image, disks] = parts_.images.fetcher.obtain_partly(request, disks_without_copy, registry, access);
  auto order = parts_.order;
  order.reference = request.reference.text();
  order.source = request.source.with_digest(image.manifest.digest).text();
  order.manifest = image.manifest.digest.text();
  auto hold = start_disk_server(disks.folder(), order, access.authfile, lock, parts_.environment);
  if (!hold) return std::nullopt;
  return served(std::move(image), std::move(hold));
}

}  // namespace sarde
