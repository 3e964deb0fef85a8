#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "core/foundation/unique_fd.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// How long a wait for skopeo may take, and what happens meanwhile.
struct ProxyWaits {
  Clock& clock;
  Cancellation& cancellation;
  TimePoint deadline;
  std::string doing;                     ///< begins the message when the deadline passes
  std::function<void()> heartbeat = {};  ///< called every 100 ms; what it throws ends the wait
};

/// Blocks until one of the two descriptors is readable or the time is over, and tells whether one is. (-1:
/// none to wait for.) Throws Error at the deadline, Cancelled.
bool wait_to_read(int first, int second, std::chrono::milliseconds at_most, const ProxyWaits& waits);

/// A running `skopeo experimental-image-proxy`, which hands out manifests and blobs through pipes. It is
/// described in cmd/skopeo/proxy.go of skopeo's source: requests and answers are JSON, one packet each, and
/// it answers in the order in which it is asked. A manifest or a blob comes through a pipe that stays open
/// until FinishPipe has been asked for; that answer tells whether all of it came.
class SkopeoProxy {
 public:
  /// An answer. If skopeo has ended, every answer is a failure, with its last words.
  struct Answer {
    std::string failure;       ///< skopeo's words; empty: it went well
    bool has_ended = false;    ///< skopeo, which gives no more answers
    std::string text = {};     ///< the value, if it is a text
    std::uint64_t number = 0;  ///< the value, if it is a number
    UniqueFd pipe = {};
    unsigned pipe_number = 0;  ///< for FinishPipe
  };

  /// Starts it (`arguments`: the program's name first). Throws Error.
  SkopeoProxy(const std::vector<std::string>& arguments,
              const std::vector<std::pair<std::string, std::string>>& environment);
  SkopeoProxy(const SkopeoProxy&) = delete;
  SkopeoProxy& operator=(const SkopeoProxy&) = delete;
  /// Ends it.
  ~SkopeoProxy();

  // Requests: each is answered once.
  void ask_to_initialize();                    ///< text: the version of the protocol
  void ask_to_open(const std::string& image);  ///< number: the image's; `image` is TRANSPORT:REF
  void ask_for_manifest(std::uint64_t image);  ///< text: its digest; and a pipe
  void ask_for_blob(std::uint64_t image, const std::string& digest, std::uint64_t size);  ///< a pipe
  void ask_to_finish(unsigned pipe_number);

  /// Readable when there is an answer.
  [[nodiscard]] int fd() const { return socket_.get(); }

  /// The answer to the oldest request that has none yet. Blocks until it is there.
  Answer answer(const ProxyWaits& waits);

 private:
  void ask(const std::string& request);
  std::string last_words();

  UniqueFd socket_;
  UniqueFd errors_;  ///< a file in memory
  pid_t pid_ = -1;
};

}  // namespace sarde
