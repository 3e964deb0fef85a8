#include "core/image/registry/proxy_blobs.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/skopeo_errors.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// Requested and not read yet. What comes of them waits in the pipe and in the connection.
constexpr std::size_t most_ahead = 3;
constexpr int roomy_pipe = 8 << 20;    ///< with which the transfers ahead go on by themselves
constexpr int allowed_pipe = 1 << 20;  ///< what every account may have (pipe(7), pipe-max-size)
constexpr auto ended = "skopeo has ended";

bool is_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, 0) > 0;
}

}  // namespace

/// One blob, read through as many transfers as it takes.
class ProxyBlob final : public BlobReader {
 public:
  ProxyBlob(ProxyBlobs& blobs, Descriptor blob) : blobs_(blobs), blob_(std::move(blob)) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    for (;;) {
      const auto wanted = std::min<std::uint64_t>(size, blob_.size - read_);
      if (wanted == 0) {
        finish();
        return 0;
      }
      std::string failure;
      if (!stream_) stream_ = blobs_.stream_of(blob_, failure);
      if (stream_ && !has_caught_up_) catch_up(failure);
      const auto got = failure.empty() ? blobs_.read(stream_, into, static_cast<std::size_t>(wanted), failure)
                                       : std::size_t(0);
      if (got > 0) {
        hash_.update(into, got);
        read_ += got;
        blobs_.note(got);
        return got;
      }
      stream_.reset();
      has_caught_up_ = false;
      blobs_.tries_.wait_after(explain_skopeo_failure(failure));
    }
  }

 private:
  /// Another transfer begins at the blob's beginning: it must bring what the first one brought.
  void catch_up(std::string& failure) {
    Sha256 again;
    Bytes passed(std::min<std::uint64_t>(read_, 256U << 10U));
    for (std::uint64_t left = read_; left > 0;) {
      const auto got =
          blobs_.read(stream_, passed.data(), std::min<std::uint64_t>(left, passed.size()), failure);
      if (got == 0) return;
      again.update(passed.data(), got);
      left -= got;
    }
    if (again.so_far() != hash_.so_far()) refuse();
    has_caught_up_ = true;
  }

  void finish() {
    if (!is_checked_ && hash_.finish() != blob_.digest) refuse();
    is_checked_ = true;
    if (!stream_) return;
    stream_->pipe.reset();  // whatever else the registry may send
    blobs_.ask_to_finish(stream_);
    stream_.reset();
  }

  [[noreturn]] void refuse() {
    throw Error(Blame::job, blobs_.parts_.doing +
                                ": the registry sends other content than the image's manifest says: " +
                                blob_.digest.text());
  }

  ProxyBlobs& blobs_;
  Descriptor blob_;
  std::shared_ptr<ProxyBlobs::Stream> stream_;
  Sha256 hash_;
  std::uint64_t read_ = 0;
  bool has_caught_up_ = true;
  bool is_checked_ = false;
};

ProxyBlobs::ProxyBlobs(Parts parts)
    : parts_(std::move(parts)),
      tries_(parts_.settings, parts_.clock, parts_.cancellation, parts_.doing),
      expected_(parts_.expected.begin(), parts_.expected.end()) {
  for (const auto& blob : expected_) total_ += blob.size;
}

std::unique_ptr<BlobReader> ProxyBlobs::open(const Descriptor& blob) {
  if (parts_.limits_each_blob) tries_.begin_again();
  return std::make_unique<ProxyBlob>(*this, blob);
}

ProxyWaits ProxyBlobs::waits() {
  return {.clock = parts_.clock,
          .cancellation = parts_.cancellation,
          .deadline = tries_.deadline(),
          .doing = parts_.doing,
          .heartbeat = [this] { note(0); }};
}

void ProxyBlobs::note(std::size_t bytes) {
  done_ += bytes;
  if (bytes > 0) tries_.note_progress();
  if (parts_.progress) parts_.progress(std::min(done_, total_), total_);
}

/// The blob's stream; or none, and why.
std::shared_ptr<ProxyBlobs::Stream> ProxyBlobs::stream_of(const Descriptor& blob, std::string& failure) {
  const auto key = blob.digest.text();
  if (!expected_.empty() && expected_.front().digest == blob.digest) {
    expected_.pop_front();
  } else {
    std::erase_if(expected_, [&](const Descriptor& one) { return one.digest == blob.digest; });
  }
  if (image_ == 0) {
    const auto opened =
        parts_.session->open_any(parts_.from.repository(), parts_.from.transport_text(), waits());
    failure = opened.failure;
    if (!failure.empty()) return nullptr;
    image_ = opened.number;
  }
  const bool is_asked_for = std::ranges::any_of(
      asked_, [&](const Asked& one) { return one.blob && one.blob->digest == blob.digest; });
  if (!is_asked_for && !streams_.contains(key) && !failures_.contains(key)) ask_for(blob);
  ask_ahead();
  while (!streams_.contains(key) && !failures_.contains(key)) take_answer();
  if (const auto failed = failures_.extract(key)) {
    failure = failed.mapped();
    return nullptr;
  }
  return streams_.extract(key).mapped();
}

/// Bytes of a stream: one at least, or none, and why.
std::size_t ProxyBlobs::read(const std::shared_ptr<Stream>& stream, unsigned char* into, std::size_t size,
                             std::string& failure) {
  constexpr milliseconds silence(1'000);
  for (;;) {
    while (!asked_.empty() && is_readable(parts_.session->proxy().fd())) take_answer();
    const auto answers = asked_.empty() ? -1 : parts_.session->proxy().fd();
    const bool is_silent = !wait_to_read(stream->pipe.get(), answers, silence, waits());
    // The pipe of a transfer that has failed stays open: only the answer to this tells.
    if (is_silent) ask_to_finish(stream);
    if (!is_readable(stream->pipe.get())) continue;
    const auto got = ::read(stream->pipe.get(), into, size);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got < 0 && errno == EINTR) continue;
    ask_to_finish(stream);
    while (!stream->verdict && !asked_.empty()) take_answer();
    failure = stream->verdict.value_or(ended);
    if (failure.empty()) failure = "unexpected EOF";
    return 0;
  }
}

void ProxyBlobs::ask_for(const Descriptor& blob) {
  parts_.session->proxy().ask_for_blob(image_, blob.digest.text(), blob.size);
  asked_.push_back({.blob = blob});
}

void ProxyBlobs::ask_ahead() {
  const auto under_way = [&] {
    const auto asked = std::ranges::count_if(asked_, [](const Asked& one) { return one.blob.has_value(); });
    return streams_.size() + static_cast<std::size_t>(asked);
  };
  while (!expected_.empty() && under_way() < most_ahead) {
    ask_for(expected_.front());
    expected_.pop_front();
  }
}

void ProxyBlobs::ask_to_finish(const std::shared_ptr<Stream>& stream) {
  if (!parts_.session->runs() || std::exchange(stream->is_asked_to_finish, true)) return;
  parts_.session->proxy().ask_to_finish(stream->pipe_number);
  asked_.push_back({.stream = stream});
}

void ProxyBlobs::take_answer() {
  auto answer = parts_.session->proxy().answer(waits());
  if (answer.has_ended) {
    drop(answer.failure);
    return;
  }
  const auto asked = std::move(asked_.front());
  asked_.pop_front();
  if (asked.stream) {
    asked.stream->verdict = answer.failure;
  } else if (!answer.failure.empty()) {
    failures_[asked.blob->digest.text()] = answer.failure;
  } else {
    if (::fcntl(answer.pipe.get(), F_SETPIPE_SZ, roomy_pipe) < 0)
      static_cast<void>(::fcntl(answer.pipe.get(), F_SETPIPE_SZ, allowed_pipe));
    streams_[asked.blob->digest.text()] =
        std::make_shared<Stream>(Stream{.pipe = std::move(answer.pipe), .pipe_number = answer.pipe_number});
  }
}

/// The proxy has ended: what was requested does not come.
void ProxyBlobs::drop(const std::string& words) {
  for (const auto& asked : asked_) {
    if (asked.stream) asked.stream->verdict = words;
    if (asked.blob) failures_[asked.blob->digest.text()] = words;
  }
  asked_.clear();
  streams_.clear();
  parts_.session->end();
  image_ = 0;
}

}  // namespace sarde
