#include "executor/job/disk_server.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/skopeo_registry.hpp"
#include "core/image/serving/nbd_server.hpp"
#include "core/image/store/arriving_blobs.hpp"
#include "core/image/store/boot_order.hpp"
#include "core/image/store/image_store.hpp"
#include "core/system/companion.hpp"
#include "core/system/files.hpp"
#include "core/system/unix_address.hpp"
#include "core/vm/hypervisor.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

using nlohmann::json;
using std::chrono::milliseconds;
namespace fs = std::filesystem;

namespace {

// In the folder of a PartialImage, beside its own files.
constexpr auto order_name = ".order";
constexpr auto failure_name = ".failure";
constexpr auto process_name = ".process";
constexpr auto reserve_name = ".reserve";  ///< goes when a failure has to be written to a disk that is full
constexpr auto authfile_name = ".auth.json";
constexpr auto vms_name = ".vms";  ///< a line for each time that a VM has opened a disk

/// A guest that waits for its disk does nothing else.
constexpr milliseconds longest_wait_for_layer(600'000);

std::string order_text(const ServingOrder& order) {
  const auto& [reference, source, manifest, connect, store, registry] = order;
  return json{{"reference", reference},
              {"source", source},
              {"manifest", manifest},
              {"connect", connect},
              {"ocidir", store.ocidir.string()},
              {"vmdir", store.vmdir.string()},
              {"threads", store.threads},
              {"max_image", store.max_image},
              {"max_disk", store.max_disk},
              {"timeout", registry.timeout.count()},
              {"insecure", registry.insecure},
              {"insecure_registries", registry.insecure_registries},
              {"authfile", registry.authfile.string()},
              {"signature_policy", registry.signature_policy.string()},
              {"platform", registry.platform}}
      .dump();
}

ServingOrder order_in(const fs::path& folder) {
  const auto text = read_file(folder / order_name);
  return read_json(text, (folder / order_name).string(), Blame::host, [](const json& value) {
    const auto get_text = [&](const char* key) { return value.at(key).get<std::string>(); };
    const milliseconds timeout(value.at("timeout").get<milliseconds::rep>());
    return ServingOrder{
        .reference = get_text("reference"),
        .source = get_text("source"),
        .manifest = get_text("manifest"),
        .connect = get_text("connect"),
        .store = {.ocidir = get_text("ocidir"),
                  .vmdir = get_text("vmdir"),
                  .threads = value.at("threads").get<unsigned>(),
                  .max_image = value.at("max_image").get<std::uint64_t>(),
                  .max_disk = value.at("max_disk").get<std::uint64_t>(),
                  .lock_timeout = timeout},
        .registry = {.temporary_folder = get_text("ocidir"),
                     .insecure = value.at("insecure").get<bool>(),
                     .insecure_registries = value.at("insecure_registries").get<std::vector<std::string>>(),
                     .authfile = get_text("authfile"),
                     .signature_policy = get_text("signature_policy"),
                     .platform = get_text("platform"),
                     .timeout = std::min(timeout, longest_wait_for_layer)}};
  });
}

/// A socket that listens in the folder. It has its name from the moment on when QEMU may use it, as it may
/// use the one that was there.
UniqueFd listen_in(const fs::path& folder) {
  const auto path = socket_in(folder);
  const auto address = unix_address(path);
  auto coming = path;
  coming += "+";
  const auto first = unix_address(coming);
  if (!address || !first)
    throw Error("the path of its socket is too long: " + path.string() + "; choose a shorter vmdir");
  remove_if_there(coming);
  constexpr int waiting = 64;
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::bind(socket.get(), generic(*first), sizeof *first) != 0 ||
      ::listen(socket.get(), waiting) != 0)
    fail_by_errno("listen on", path);

  struct stat old {};

  const bool is_again = ::lstat(path.c_str(), &old) == 0;
  set_mode(coming, is_again ? old.st_mode & 0777U : 0600U,
           is_again ? std::optional(old.st_gid) : std::nullopt);
  fs::rename(coming, path);
  return socket;
}

}  // namespace

fs::path socket_in(const fs::path& folder) {
  return folder / ".nbd";
}

bool can_be_served(const fs::path& folder) {
  return unix_address(socket_in(folder).string() + "+").has_value();
}

namespace {

bool server_lives(const fs::path& folder) {
  const auto process = ProcessIdentity::parse(read_file_if_there(folder / process_name).value_or(""));
  return process && life_of(*process) != ProcessLife::ended;
}

/// A connection to the folder's server; none if nobody listens there.
UniqueFd connected_to(const fs::path& folder) {
  const auto address = unix_address(socket_in(folder));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    ::setsockopt(socket.get(), SOL_SOCKET, option, &patience, sizeof patience);
  if (!address || !socket || ::connect(socket.get(), generic(*address), sizeof *address) != 0) return {};
  return socket;
}

/// Whoever was greeted is counted.
bool is_greeted(const UniqueFd& socket) {
  std::array<char, 18> greeting{};
  return ::recv(socket.get(), greeting.data(), greeting.size(), MSG_WAITALL) ==
         static_cast<ssize_t>(greeting.size());
}

}  // namespace

std::shared_ptr<const UniqueFd> start_disk_server(const fs::path& folder, const ServingOrder& order,
                                                  const std::optional<fs::path>& authfile,
                                                  const FileLock& lock, const EnvironmentList& environment) {
  pass_credentials(folder, authfile);
  write_file(folder / order_name, order_text(order), 0600);
  remove_if_there(folder / failure_name);
  constexpr std::size_t enough = 16U << 10U;
  write_file(folder / reserve_name, std::string(enough, 'x'), 0600);
  auto socket = listen_in(folder);
  // Before it runs: where little is missing, it would have done its work, and gone, before it is held.
  auto coming = connected_to(folder);
  start_self(disk_server_name, folder.string(), {socket.get(), lock.fd()}, environment,
             folder / process_name);
  socket.reset();               // or the server's end would not be noticed
  constexpr int patience = 12;  // five seconds each
  for (int i = 0; coming && i < patience; ++i) {
    if (is_greeted(coming)) return std::make_shared<const UniqueFd>(std::move(coming));
    if (!server_lives(folder)) break;
  }
  if (const auto why = why_it_ended(folder); !why.empty())
    throw Error("start the server of the image's disks" + why);
  return nullptr;
}

std::shared_ptr<const UniqueFd> hold_disk_server(const fs::path& folder) {
  auto socket = connected_to(folder);
  if (!socket || !is_greeted(socket)) return nullptr;
  return std::make_shared<const UniqueFd>(std::move(socket));
}

bool holds_disk_server(const UniqueFd& hold) {
  pollfd waiting{.fd = hold.get(), .events = POLLIN, .revents = 0};
  return hold && ::poll(&waiting, 1, 0) == 0;  // nothing is ever said to whoever only holds it
}

void pass_credentials(const fs::path& folder, const std::optional<fs::path>& authfile) {
  const auto copy = folder / authfile_name;
  if (authfile) {
    write_file(copy, read_file(*authfile), 0600);
  } else {
    remove_if_there(copy);
  }
}

namespace {

void write_failure(const fs::path& folder, const std::string& why) {
  remove_if_there(folder / authfile_name);
  remove_if_there(folder / reserve_name);
  write_file(folder / failure_name, why, 0600);
}

}  // namespace

std::string why_it_ended(const fs::path& folder) {
  const auto failure = read_file_if_there(folder / failure_name);
  return failure ? ": " + *failure : "";
}

void DiskServerWatch::look() {
  if (folder_.empty()) return;
  if (const auto why = why_it_ended(folder_); !why.empty())
    throw Error("the VM's disks cannot be read any more" + why);
  std::error_code gone;
  if (!fs::exists(folder_ / order_name, gone)) {
    if (PartialImage::has_become_whole(folder_)) return folder_.clear();
    throw Error(
        "the VM's disks cannot be read any more: what had come of the image has been removed; "
        "run the job again");
  }
  if (server_lives(folder_)) {
    missed_since_.reset();
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!missed_since_) missed_since_ = now;
  const auto problem = start_again();
  // Before QEMU gives up, and the guest's errors look like the script's.
  constexpr std::chrono::seconds longest(90);
  if (now > *missed_since_ + longest)
    throw Error("the VM's disks cannot be read any more: the process that served them has ended, and " +
                (problem.empty() ? "another one is at work on the image" : problem));
}

/// Returns why that cannot be; empty if it can, or somebody else is about to do it.
std::string DiskServerWatch::start_again() {
  try {
    const auto order = order_in(folder_);
    const auto lock = FileLock::try_for(unpacked_lock(order.store.vmdir, order.manifest));
    std::error_code gone;
    if (!lock || !fs::exists(folder_ / order_name, gone)) return "";
    const auto socket = listen_in(folder_);
    start_self(disk_server_name, folder_.string(), {socket.get(), lock->fd()}, environment_,
               folder_ / process_name);
    return "";
  } catch (const Error& error) {
    return error.what();  // also if the folder has just gone, because the image is whole
  }
}

namespace {

/// One image, until all of it is there or nobody needs it.
class ImageServing {
 public:
  ImageServing(fs::path folder, UniqueFd listening)
      : folder_(std::move(folder)),
        order_(order_in(folder_)),
        reference_(ImageReference::parse(order_.reference)),
        images_(order_.store, clock_, cancellation_),
        layout_(images_.catalogue.layout_of(reference_)),
        announced_(announced()),
        stored_(read_stored_image(reference_, layout_, {.manifest = announced_.descriptor(), .tag = ""})),
        disks_(PartialImage::existing(order_.store.vmdir, announced_.digest,
                                      layer_grids(stored_.disks).value())),
        queue_(disks_, expected()),
        // After a server that was killed: its VMs come back when they want to read something.
        away_(noted_vms()),
        is_first_(away_.empty()),
        server_(disks_, queue_, std::move(listening), [this](const std::string& vm) { return note_vm(vm); }) {
  }

  void run() {
    try {
      do {
        bring_all();
      } while (!release_vms());
    } catch (const Error& error) {
      fail(error.what());
    }
  }

 private:
  [[nodiscard]] AnnouncedImage announced() const {
    const auto digest = Digest::parse(order_.manifest).value();
    const auto text = layout_.read_blob({.digest = digest, .size = size_of(layout_.blob(digest))});
    return {.digest = digest, .manifest = parse_manifest(text, "the manifest"), .text = text};
  }

  [[nodiscard]] std::vector<LayerPlace> expected() const {
    auto order = read_boot_order(layout_);
    if (order.empty()) order = boot_order_in(stored_.disks);
    return expected_layers(disks_.disks(), order);
  }

  [[nodiscard]] std::set<std::string> noted_vms() const {
    std::set<std::string> vms;
    for (const auto& vm : split(read_file_if_there(folder_ / vms_name).value_or(""), '\n'))
      if (!vm.empty()) vms.insert(vm);
    return vms;
  }

  /// Also returns when nobody needs them any more.
  void bring_all() {
    constexpr milliseconds pause(200);
    while (!queue_.is_complete() && is_needed()) {
      cancellation_.check();
      const auto next = queue_.next(pause);
      if (!next) continue;
      bring(*next);
      queue_.arrived(*next);
    }
  }

  /// A job that has joined may have brought other credentials since the last time, and the first job's may
  /// have ended with it.
  void bring(LayerPlace place) {
    const auto credentials = look_of(folder_ / authfile_name);
    try {
      bring_with(credentials, place);
    } catch (const Error&) {
      blobs_.reset();
      if (credentials == used_credentials_ && credentials == look_of(folder_ / authfile_name)) throw;
      bring_with(look_of(folder_ / authfile_name), place);
    }
  }

  void bring_with(const std::string& credentials, LayerPlace place) {
    if (!blobs_) {
      RegistryAccess access{.limits_each_blob = true};
      if (!credentials.empty()) access.authfile = folder_ / authfile_name;
      const auto& first = disks_.disks()[place.disk].layers[place.layer];
      remote_ = registry_->open(ImageReference::parse(order_.source), announced_, {first}, layout_, access);
      blobs_ = std::make_unique<ArrivingBlobs>(layout_, *remote_, digests_of(stored_.disks));
      used_credentials_ = credentials;
    }
    disks_.bring(place, *blobs_, order_.store.threads, cancellation_);
  }

  /// When all is there, the VMs go over to the files; when all have done so, or have ended, the image gets
  /// its folder. What is not complete when nobody needs it any more stays for the next VM. False if there is
  /// more to bring, because somebody has come.
  bool release_vms() {
    constexpr milliseconds pause(200);
    for (;; clock_.sleep(pause, cancellation_)) {
      const bool is_complete = queue_.is_complete();
      if (!is_complete && is_needed()) return false;
      if (is_complete) release_all();
      const bool may_end = !is_complete || away_.empty();
      if (may_end && server_.close_if_unused()) break;
    }
    remove_if_there(folder_ / authfile_name);
    if (!queue_.is_complete()) {
      remove_if_there(socket_in(folder_));
      return true;
    }
    if (is_first_) note_order();
    images_.unpacked.finish(stored_, disks_);
    return true;
  }

  void release_all() {
    look_for_those_away();
    if (clock_.now() < next_release_) return;
    constexpr std::chrono::seconds now_and_then(2);
    next_release_ = clock_.now() + now_and_then;
    auto vms = server_.vms();
    vms.insert(vms.end(), away_.begin(), away_.end());
    for (const auto& vm : vms) release(vm);
  }

  /// A VM that cannot go over, or not yet, is served until it ends.
  void release(const std::string& vm) {
    std::vector<fs::path> files;
    for (std::size_t i = 0; i < disks_.disks().size(); ++i) files.push_back(disks_.file(i));
    try {
      hypervisor().leave_disk_server(vm, files);
      away_.erase(vm);
    } catch (const Error&) {
      hypervisor_.reset();  // libvirt may have been started anew
    }
  }

  /// In a thread of the server's. Whether there can be such a VM.
  bool note_vm(const std::string& vm) {
    if (!VmName::parse(vm)) return false;
    const std::scoped_lock lock(noting_);
    if (!noted_.insert(vm).second) return true;
    append_line(folder_ / vms_name, vm);
    return true;
  }

  /// Those that have ended do not come back.
  void look_for_those_away() {
    for (const auto& vm : server_.take_lost()) away_.insert(vm);
    for (const auto& vm : server_.vms()) away_.erase(vm);
    constexpr std::chrono::seconds now_and_then(2);
    if (away_.empty() || clock_.now() < next_question_) return;
    next_question_ = clock_.now() + now_and_then;
    try {
      std::erase_if(away_,
                    [&](const std::string& vm) { return hypervisor().state(vm) == DomainState::gone; });
    } catch (const Error&) {
      hypervisor_.reset();
    }
  }

  Hypervisor& hypervisor() {
    if (!hypervisor_) hypervisor_ = connect_hypervisor(order_.connect, module_folders());
    return *hypervisor_;
  }

  void note_order() {
    try {
      if (const auto touched = queue_.touched(); !touched.empty())
        note_boot_order(layout_, boot_order_of(disks_.disks(), touched));
    } catch (const Error&) {
      // The next boot has less to go by.
    }
  }

  /// Some VM, or somebody who is about to start one, is connected, or was a moment ago.
  bool is_needed() {
    constexpr std::chrono::seconds grace(10);
    look_for_those_away();
    if (server_.connections() > 0 || !away_.empty()) last_needed_ = clock_.now();
    return clock_.now() < last_needed_ + grace;
  }

  /// The jobs learn why before their VMs get an error.
  void fail(const std::string& why) {
    write_failure(folder_, why);
    remove_if_there(socket_in(folder_));
    queue_.give_up();
    constexpr milliseconds pause(200);
    constexpr std::chrono::seconds longest(30);  // a VM may be kept for hours after its job
    const auto deadline = clock_.now() + longest;
    for (; server_.connections() > 0 && clock_.now() < deadline; clock_.sleep(pause, cancellation_))
      server_.close_idle();
    remove_if_there(folder_ / order_name);
    if (images_.unpacked.has_room()) return;
    constexpr std::chrono::seconds until_all_have_read_why(10);
    clock_.sleep(until_all_have_read_why, cancellation_);
    remove_if_there(folder_);
  }

  fs::path folder_;
  ServingOrder order_;
  SystemClock clock_;
  Cancellation cancellation_ = Cancellation::on_signals();
  ImageReference reference_;
  ImageStore images_;
  OciLayout layout_;
  AnnouncedImage announced_;
  StoredImage stored_;
  PartialImage disks_;
  LayerQueue queue_;
  std::set<std::string> away_;  ///< VMs that read from here and are not connected
  bool is_first_;               ///< no server before this one has served a VM
  std::mutex noting_;
  std::set<std::string> noted_;
  Environment environment_ = Environment::from(environ);
  std::unique_ptr<Registry> registry_ =
      make_skopeo_registry(order_.registry, environment_, clock_, cancellation_);
  std::unique_ptr<BlobSource> remote_;
  std::unique_ptr<ArrivingBlobs> blobs_;
  std::string used_credentials_;  ///< with which these were opened: look_of()
  std::unique_ptr<Hypervisor> hypervisor_;
  TimePoint last_needed_ = clock_.now();
  TimePoint next_question_{};
  TimePoint next_release_{};
  NbdServer server_;  // last: its threads end before what they use
};

}  // namespace

int serve_disks(const std::string& folder) {
  constexpr int inherited = 3;
  UniqueFd listening(inherited);
  const auto lock = FileLock::passed_on(UniqueFd(inherited + 1));
  for (const int fd : {listening.get(), lock.fd()}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  try {
    ImageServing(folder, std::move(listening)).run();
    return 0;
  } catch (const Cancelled&) {
    return 1;  // whoever needs it starts it again
  } catch (const std::exception& error) {
    try {
      write_failure(folder, error.what());
    } catch (const Error&) {
      // Whoever watches finds out that nobody serves the disks.
    }
    return 1;
  }
}

}  // namespace sarde
