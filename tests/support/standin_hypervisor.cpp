// A Hypervisor without libvirt and QEMU, for tests that need many VMs: it behaves as libvirt does, down to
// what a SIGKILL leaves behind. Built as sarde-libvirt.so, so that the program itself loads it.
//
// connect = standin://FOLDER. In FOLDER:
//   sshd_config     of the guests' SSH servers: a test writes it, with keys
//   good-digests    sha256 (hex) of every file that a VM's disks may rest on, one a line; no file: all are
//   good violations      made here: a line for every disk that QEMU would have had to refuse boot-ms how long
//   guests take to answer running/NAME    a running domain; defined/NAME.xml: what virsh define made
//   fail-state, fail-memory, fail-files   a test makes them: what then fails, state() or forward_port()
//   fail-served     the same: no VM may connect to a disk server
// A VM is a process (standin-guest) in a session and a PID namespace of its own: it outlives the stage that
// asked for it, as QEMU does, for libvirtd is its parent; and with it everything ends that runs in it.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_chain.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "tests/support/listener.hpp"

namespace sarde {

namespace fs = std::filesystem;
using testing::Listener;

namespace {

constexpr std::uint64_t no_limit = UINT64_MAX;

/// Field 22 of proc(5)'s stat; empty if the process has ended, reaped or not.
std::string start_of(pid_t pid) {
  const auto text = read_proc_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const auto end = text.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream fields(text.substr(end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return {};
  std::string field;
  for (int i = 4; i <= 22; ++i) fields >> field;
  return field;
}

/// What the first element `name` of a domain holds; empty where there is none. The XML is this program's own.
std::string element_text(const std::string& xml, const std::string& name) {
  const auto start = xml.find("<" + name + ">");
  const auto end = xml.find("</" + name + ">");
  if (start == std::string::npos || end == std::string::npos) return {};
  return xml.substr(start + name.size() + 2, end - start - name.size() - 2);
}

/// The job's element of a domain's metadata; empty where there is none.
std::string job_element(const std::string& xml) {
  const auto uri = xml.find(std::string("\"") + job_metadata_uri + "\"");
  if (uri == std::string::npos) return {};
  const auto start = xml.rfind('<', uri);
  return xml.substr(start, xml.find('>', uri) + 1 - start);
}

std::string new_uuid() {
  return trimmed(read_proc_file("/proc/sys/kernel/random/uuid").value_or(""));
}

/// One running domain, as its file tells it.
struct Running {
  pid_t pid = 0;
  std::string start;
  std::uint16_t port = 0;
  std::string uuid;
  std::vector<fs::path> files;  ///< disks and what they rest on
  std::string xml;

  [[nodiscard]] std::string text() const {
    std::string all = std::to_string(pid) + "\n" + start + "\n" + std::to_string(port) + "\n" + uuid + "\n";
    for (const auto& file : files) all += file.string() + "\n";
    return all + "\n" + xml;
  }

  static Running parse(const std::string& text) {
    std::istringstream in(text);
    Running domain;
    in >> domain.pid >> domain.start >> domain.port >> domain.uuid;
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line) && !line.empty()) domain.files.emplace_back(line);
    domain.xml.assign(std::istreambuf_iterator<char>(in), {});
    return domain;
  }
};

class StandinHypervisor final : public Hypervisor {
 public:
  explicit StandinHypervisor(const std::string& uri) : folder_(uri.substr(uri.find("://") + 3)) {
    if (!fs::is_directory(folder_)) throw Error("connect to libvirt at " + uri + ": there is no such folder");
    for (const auto* name : {"running", "defined"}) fs::create_directories(folder_ / name);
  }

  SavedState save(const JobVm&, const std::filesystem::path&,
                  const std::map<std::filesystem::path, std::filesystem::path>&) override {
    throw Error("the stand-in saves no VM");
  }

  void restore(const JobVm&, const SavedState&) override { throw Error("the stand-in saves no VM"); }

  void leave_disk_server(const std::string& name, const std::vector<fs::path>&) override {
    if (const auto domain = find(name)) ::kill(domain->pid, SIGUSR1);
  }

  std::string software() override { return "the stand-in"; }

  std::filesystem::path emulator(const std::string&) override { return "/usr/bin/true"; }

  void start(const JobVm& vm) override {
    if (vm.disk_server && fs::exists(folder_ / "fail-served"))
      throw NotServed("stand-in: QEMU may not connect to " + vm.disk_server->socket.string());
    const auto domain_xml = build_job_domain(vm).xml;
    const auto name = element_text(domain_xml, "name");
    Running domain;
    domain.uuid = element_text(domain_xml, "uuid");
    if (domain.uuid.empty()) domain.uuid = new_uuid();
    domain.xml = domain_xml;
    open_disks(name, domain, vm);
    Listener listener;
    domain.port = listener.port;
    served_.clear();
    if (vm.disk_server) {
      served_.push_back(vm.disk_server->socket.string());
      for (const auto& file : vm.disk_server->files) served_.push_back(file.filename().string());
    }
    fs::remove(disks_mark(name));  // a stage that was killed may have left it
    launch(name, domain, listener);
    if (vm.disk_server) await_open_disks(name, *vm.disk_server);
  }

  DomainState state(const std::string& name) override {
    if (fs::exists(folder_ / "fail-state")) throw Error("stand-in: libvirt is away");
    if (find(name)) return DomainState::running;
    return fs::exists(definition_file(name)) ? DomainState::stopped : DomainState::gone;
  }

  void destroy(const std::string& name) override {
    const auto lock = lock_all();
    if (const auto domain = find(name)) {
      ::kill(domain->pid, SIGKILL);
      while (start_of(domain->pid) == domain->start)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    fs::remove(running_file(name));
  }

  std::vector<std::string> addresses(const std::string& /*name*/) override { return {}; }

  std::uint16_t forward_port(const std::string& name, std::uint16_t /*guest_port*/) override {
    if (fs::exists(folder_ / "fail-memory")) throw std::bad_alloc();
    // Throws as the standard library does.
    if (fs::exists(folder_ / "fail-files")) static_cast<void>(fs::file_size(folder_ / "none"));
    const auto domain = find(name);
    if (!domain) throw Error("forward a port to VM '" + name + "': the VM is gone");
    return domain->port;
  }

  std::vector<JobDomain> list_jobs() override {
    std::vector<JobDomain> jobs;
    for (const auto& [name, running] : states()) {
      const auto xml = running ? xml_of_running(name) : read_file_if_there(definition_file(name), no_limit);
      const auto element = job_element(xml.value_or(""));
      if (element.empty()) continue;
      jobs.push_back(job_in_metadata(element));
      jobs.back().name = name;
      jobs.back().uuid = uuid(name).value_or("");
      jobs.back().is_transient = running && !fs::exists(definition_file(name));
    }
    return jobs;
  }

  std::string definition(const std::string& name) override {
    if (auto xml = read_file_if_there(definition_file(name), no_limit)) return *xml;
    if (const auto domain = find(name)) return domain->xml;
    throw Error(Blame::job, "there is no VM " + quote(name));
  }

  std::string define(const std::string& domain_xml) override {
    auto xml = domain_xml;
    auto uuid = element_text(xml, "uuid");
    if (uuid.empty()) {
      uuid = new_uuid();
      xml.insert(xml.find("</name>") + 7, "<uuid>" + uuid + "</uuid>");
    }
    write_file(definition_file(element_text(xml, "name")), xml, 0600);
    return uuid;
  }

  void undefine(const std::string& name) override { fs::remove(definition_file(name)); }

  std::map<std::string, KnownDomain> domains() override {
    std::map<std::string, KnownDomain> known;
    for (const auto& [name, running] : states())
      known[name] = {.uuid = uuid(name).value_or(""), .is_running = running};
    return known;
  }

  std::filesystem::path volume_path(const VolumeName&) override { throw Error("there are no pools here"); }

  std::vector<DomainFiles> domain_files() override {
    std::vector<DomainFiles> all;
    for (const auto& [name, running] : states()) {
      DomainFiles entry{.name = name, .files = {}};
      if (const auto domain = running ? find(name) : std::nullopt) entry.files = domain->files;
      if (const auto xml = read_file_if_there(definition_file(name), no_limit)) {
        const auto more = files_of_domain(*xml);
        entry.files.insert(entry.files.end(), more.begin(), more.end());
      }
      all.push_back(std::move(entry));
    }
    return all;
  }

  GuestFileSystems copy_disks(
      const std::string& /*name*/, const std::vector<DiskCopy>& /*copies*/,
      const std::function<void(std::uint64_t, std::uint64_t)>& /*progress*/) override {
    throw Error("stand-in: a running VM's disks cannot be copied");
  }

  bool offers_kvm(const std::string& /*architecture*/) override { return false; }

  std::optional<std::uint64_t> written_bytes(const std::string& /*name*/) override { return 0; }

  bool authorize_key(const std::string& /*name*/, const std::string& /*user*/,
                     const std::string& /*public_key*/) override {
    return false;
  }

  std::optional<QemuAccount> qemu_account() override { return std::nullopt; }

  /// No passt: its guests' SSH server is on the host's loopback already.
  bool has_stream_network() override { return false; }

  bool has_network(const std::string&) override { return true; }

  void require_network(const std::string& /*name*/) override {}

  TrafficFilter filter_without_address(const std::string& /*network*/) override { return {}; }

  void hold_to_address(const JobVm& /*vm*/, const std::string& /*address*/) override {}

  bool is_local() override { return true; }

 private:
  std::optional<std::string> uuid(const std::string& name) {
    if (const auto domain = find(name)) return domain->uuid;
    if (const auto xml = read_file_if_there(definition_file(name), no_limit))
      return element_text(*xml, "uuid");
    return std::nullopt;
  }

  std::map<std::string, bool> states() {
    std::map<std::string, bool> states;
    for (const auto& entry : fs::directory_iterator(folder_ / "defined")) {
      if (entry.path().extension() == ".xml") states[entry.path().stem().string()] = false;
    }
    for (const auto& entry : fs::directory_iterator(folder_ / "running")) {
      const auto name = entry.path().filename().string();
      if (!name.starts_with('.') && find(name)) states[name] = true;
    }
    return states;
  }

  [[nodiscard]] fs::path disks_mark(const std::string& name) const {
    return folder_ / "running" / ("." + name + ".disks");
  }

  [[nodiscard]] fs::path running_file(const std::string& name) const { return folder_ / "running" / name; }

  [[nodiscard]] fs::path definition_file(const std::string& name) const {
    return folder_ / "defined" / (name + ".xml");
  }

  /// A transient domain is gone when its process is.
  [[nodiscard]] std::optional<Running> find(const std::string& name) const {
    const auto text = read_file_if_there(running_file(name), no_limit);
    if (!text) return std::nullopt;
    auto domain = Running::parse(*text);
    if (start_of(domain.pid) != domain.start) return std::nullopt;
    return domain;
  }

  [[nodiscard]] std::optional<std::string> xml_of_running(const std::string& name) const {
    const auto domain = find(name);
    return domain ? std::optional(domain->xml) : std::nullopt;
  }

  /// libvirtd takes one order for a domain after the other.
  [[nodiscard]] UniqueFd lock_all() const {
    UniqueFd fd(::open((folder_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    while (::flock(fd.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    return fd;
  }

  void complain(const std::string& name, const std::string& what) const {
    const UniqueFd fd(
        ::open((folder_ / "violations").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    const auto line = name + ": " + what + "\n";
    write_full(fd.get(), line.data(), line.size(), "violations");
  }

  /// Follows each disk as QEMU does, and looks at every byte of what is at its end.
  void open_disks(const std::string& name, Running& domain, const JobVm& vm) const {
    std::set<std::string> good;
    if (const auto text = read_file_if_there(folder_ / "good-digests", no_limit)) {
      std::istringstream in(*text);
      for (std::string line; in >> line;) good.insert(line);
    }
    for (auto file : files_of_domain(domain.xml)) {
      if (element_text(domain.xml, "nvram") == file.string()) continue;
      for (bool is_overlay = true;; is_overlay = false) {
        domain.files.push_back(file);
        if (!fs::is_regular_file(file)) {
          complain(name, "open " + file.string() + ": it is not there");
          throw Error("start the VM: could not open '" + file.string() + "': No such file or directory");
        }
        const auto header = read_qcow2_header(file);
        const bool rests_on_more = header && header->backing_file;
        const bool is_served = vm.disk_server && file.parent_path() == vm.disk_server->socket.parent_path();
        if (is_served) break;  // the guest reads it from the server
        if (!rests_on_more || !is_overlay) check(name, file, good);
        if (!rests_on_more) break;
        file = backing_path(file, *header->backing_file);
      }
    }
  }

  void check(const std::string& name, const fs::path& file, const std::set<std::string>& good) const {
    if (good.empty()) return;
    const auto fd = open_to_read(file);
    Sha256 hash;
    std::array<char, 65536> buffer{};
    for (std::size_t got = buffer.size(); got == buffer.size();) {
      got = read_full(fd.get(), buffer.data(), buffer.size(), file.string());
      hash.update(buffer.data(), got);
    }
    const auto digest = hash.finish().hex();
    if (!good.contains(digest)) complain(name, file.string() + " holds " + digest + ", which is no image's");
  }

  /// All that libvirtd would do, in a process that no signal for the stage reaches: either there is a domain
  /// and its file, or neither.
  void launch(const std::string& name, Running domain, const Listener& listener) {
    std::array<int, 2> answer{};
    if (::pipe2(answer.data(), O_CLOEXEC) != 0) throw Error("stand-in: pipe: " + errno_text(errno));
    const UniqueFd from_daemon(answer[0]);
    UniqueFd to_stage(answer[1]);
    // The lock goes over with the fork, so that no order that comes later overtakes this one.
    auto lock = lock_all();
    const pid_t daemon = ::fork();
    if (daemon < 0) throw Error("stand-in: fork: " + errno_text(errno));
    if (daemon == 0)
      ::_exit(be_libvirtd(name, std::move(domain), {to_stage.get(), listener.fd.get(), lock.get()}));
    to_stage.reset();
    lock.reset();
    std::string said;
    std::array<char, 512> buffer{};
    if (const auto got = read_full(from_daemon.get(), buffer.data(), buffer.size(), "the stand-in's answer");
        got > 0)
      said.assign(buffer.data(), got);
    ::waitpid(daemon, nullptr, 0);
    if (said != "started") throw Error("start the VM: " + (said.empty() ? "libvirtd died" : said));
  }

  void await_open_disks(const std::string& name, const DiskServer& server) {
    const auto mark = disks_mark(name);
    for (;;) {
      const bool lives = find(name).has_value();
      if (const auto said = read_file_if_there(mark)) {
        fs::remove(mark);
        if (*said == "open") return;
        destroy(name);
        throw NotServed("stand-in: QEMU could not connect to " + server.socket.string());
      }
      if (!lives) throw Error("start the VM: QEMU died");
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  /// What libvirtd keeps of the stage's descriptors.
  struct Kept {
    int answer;
    int listener;
    int lock;
  };

  int be_libvirtd(const std::string& name, Running domain, const Kept& kept) const {
    ::setsid();
    constexpr int kept_answer = 200;
    constexpr int kept_listener = 201;
    constexpr int kept_lock = 202;
    ::dup2(kept.answer, kept_answer);
    ::dup2(kept.listener, kept_listener);
    ::dup2(kept.lock, kept_lock);
    ::close_range(STDERR_FILENO + 1, kept_answer - 1, 0);
    ::close_range(kept_lock + 1, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= STDERR_FILENO; ++fd) ::dup2(null, fd);
    const auto say = [&](const std::string& what) {
      static_cast<void>(!::write(kept_answer, what.data(), what.size()));
      return 0;
    };
    try {
      if (find(name)) return say("operation failed: domain '" + name + "' already exists");
      std::array<int, 2> go{};
      if (::pipe2(go.data(), O_CLOEXEC) != 0 || !new_pid_namespace())
        return say("stand-in: " + errno_text(errno));
      domain.pid = ::fork();
      if (domain.pid < 0) return say("stand-in: fork: " + errno_text(errno));
      if (domain.pid == 0) {
        ::close(go[1]);
        char byte = 0;
        if (::read(go[0], &byte, 1) != 1) ::_exit(1);
        ::dup2(kept_listener, STDIN_FILENO);
        ::close_range(STDERR_FILENO + 1, ~0U, 0);
        std::vector<std::string> words{"standin-guest", folder_.string(), name};
        words.insert(words.end(), served_.begin(), served_.end());
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        ::execv(SARDE_STANDIN_GUEST, argv.data());
        ::_exit(127);
      }
      domain.start = start_of(domain.pid);
      write_file(running_file(name), domain.text(), 0600);
      static_cast<void>(!::write(go[1], "g", 1));
      return say("started");
    } catch (const std::exception& error) {
      return say(error.what());
    }
  }

  /// For the next child. Without root's rights a user namespace gives the right to it.
  static bool new_pid_namespace() {
    if (::geteuid() == 0) return ::unshare(CLONE_NEWPID) == 0;
    const auto uid = std::to_string(::geteuid());
    const auto gid = std::to_string(::getegid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << uid << " " << uid << " 1";
    std::ofstream("/proc/self/gid_map") << gid << " " << gid << " 1";
    return true;
  }

  fs::path folder_;
  std::vector<std::string> served_;  ///< to the VM that is being started: the socket, then the files
};

}  // namespace

}  // namespace sarde

extern "C" sarde::Hypervisor* sarde_connect_libvirt(const std::string& uri) {
  return std::make_unique<sarde::StandinHypervisor>(uri).release();
}
