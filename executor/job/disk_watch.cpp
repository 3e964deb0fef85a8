#include "executor/job/disk_watch.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

/// The twentieth part of what was free is not for guests.
constexpr std::uint64_t reserve_part = 20;

}  // namespace

bool DiskWatch::is_due(std::uint64_t room_now) {
  constexpr std::chrono::milliseconds look_every(2'000);
  constexpr std::uint64_t part = 4;
  const auto now = clock_.now();
  if (now < next_look_) return false;
  const auto lost = bounds_.room - std::min(bounds_.room, room_now);
  const bool may_be_the_reason = lost > std::min(bounds_.limit, bounds_.room) / part;
  if (!may_be_the_reason && now < next_sure_look_) return false;
  next_look_ = now + look_every;
  next_sure_look_ = now + sure_look_every;
  return true;
}

void DiskWatch::look() {
  if (bounds_.room == 0) return;
  const auto room = free_space(folder_);
  if (!is_due(room)) return;
  const auto written = machines_().written_bytes(name_);
  if (!written) return;
  const auto lost = bounds_.room - std::min(bounds_.room, room);
  const bool takes_the_last = room<bounds_.room / reserve_part&& * written> lost / 2;
  if (*written <= bounds_.limit && !takes_the_last) return;
  machines_().destroy(name_);
  const auto why = takes_the_last ? "and the host has hardly any free space left (" + size_text(room) + ")"
                                  : "more than the limit of " + size_text(bounds_.limit) + " (max-job-disk)";
  throw Error(Blame::job, "VM '" + name_ + "' was destroyed: the job has written " + size_text(*written) +
                              " to its disks, " + why);
}

DiskWatch::Bounds disk_bounds(const std::filesystem::path& folder, std::uint64_t limit) {
  const auto room = free_space(folder);
  return {.limit = std::min(limit, room - room / reserve_part), .room = room};
}

}  // namespace sarde
