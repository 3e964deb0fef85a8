#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/foundation/unique_fd.hpp"
#include "core/image/serving/layer_queue.hpp"

namespace sarde {

/// An NBD server for the disks of one image, read-only, on a socket that listens already. A disk's export is
/// called VM/FILE: the VM that reads it, and the disk's file. Whoever reads what is not there waits until it
/// has come; if it does not come any more, he gets an I/O error. A thread for each connection, so that none
/// waits for another's reader.
class NbdServer {
 public:
  /// Both must outlive this. `opened` is called with a VM's name before it can read a disk, in the thread of
  /// its connection; false: there is no such VM.
  NbdServer(const PartialImage& image, LayerQueue& queue, UniqueFd listening,
            std::function<bool(const std::string& vm)> opened);

  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  /// Ends all connections.
  ~NbdServer();

  /// The VMs that have disks open here.
  [[nodiscard]] std::vector<std::string> vms() const;

  /// The VMs whose connections have ended without a good-bye since this was called last: a VM that runs comes
  /// back when it wants to read something.
  [[nodiscard]] std::vector<std::string> take_lost();

  /// Connections, of which some may have no disk open: they only want the server to stay.
  [[nodiscard]] std::size_t connections() const;

  /// Ends the connections that have no disk open.
  void close_idle();

  /// From here on nobody can connect. False, and it goes on, if somebody is connected, or about to be, or was
  /// lost.
  bool close_if_unused();

 private:
  /// One client.
  struct Connection {
    UniqueFd socket;
    UniqueFd wake;
    std::string vm = {};  ///< whose disk is open; guarded by mutex_
    std::atomic<bool> has_ended = false;
    std::jthread thread = {};  // last: it ends before what it uses
  };

  struct Reading;

  void accept_clients(std::stop_token stop);
  bool accept_one();
  void serve(Connection& connection);
  bool shake_hands(Connection& connection, std::size_t& disk);
  bool answer_option(Connection& connection, std::uint32_t option, const std::string& data, std::size_t& disk,
                     bool& is_open);
  bool transmit(Connection& connection, std::size_t disk);
  bool take_request(Connection& connection, std::size_t disk, std::vector<Reading>& waiting);
  void answer(Connection& connection, std::size_t disk, std::vector<Reading>& waiting);
  void send_data(Connection& connection, std::size_t disk, const Reading& reading);
  void remove_ended();
  [[nodiscard]] std::optional<std::size_t> disk_called(const std::string& file) const;

  const PartialImage& image_;
  LayerQueue& queue_;
  std::function<bool(const std::string& vm)> opened_;
  mutable std::mutex mutex_;
  std::set<std::string> lost_;
  UniqueFd listening_;
  UniqueFd wake_;
  std::list<Connection> connections_;
  std::jthread acceptor_;  // last: it ends before what it uses
};

}  // namespace sarde
