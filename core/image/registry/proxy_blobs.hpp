#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/image/layout/blob_source.hpp"
#include "core/image/reference/image_reference.hpp"
#include "core/image/registry/proxy_session.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/registry/skopeo_program.hpp"

namespace sarde {

/// The blobs of an image at a registry, read through skopeo's proxy. Those that are expected are requested
/// ahead of their use, a few at a time, so that the link does not idle while one is being read. A blob whose
/// transfer fails is requested again. One thread, one reader at a time.
class ProxyBlobs final : public BlobSource {
 public:
  struct Parts {
    const SkopeoSettings& settings;
    Clock& clock;
    Cancellation& cancellation;
    std::unique_ptr<ProxySession> session;
    ImageReference from;               ///< by its digest
    std::string doing;                 ///< begins messages
    std::vector<Descriptor> expected;  ///< in their order
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
    bool limits_each_blob = false;
  };

  explicit ProxyBlobs(Parts parts);

  std::unique_ptr<BlobReader> open(const Descriptor& blob) override;

 private:
  friend class ProxyBlob;

  /// A blob on its way.
  struct Stream {
    UniqueFd pipe;
    unsigned pipe_number = 0;
    bool is_asked_to_finish = false;
    std::optional<std::string> verdict = {};  ///< the answer to that: skopeo's words, or empty
  };

  /// A request that has no answer yet: for a blob, or to finish a stream.
  struct Asked {
    std::optional<Descriptor> blob = {};
    std::shared_ptr<Stream> stream = {};
  };

  [[nodiscard]] ProxyWaits waits();
  std::shared_ptr<Stream> stream_of(const Descriptor& blob, std::string& failure);
  std::size_t read(const std::shared_ptr<Stream>& stream, unsigned char* into, std::size_t size,
                   std::string& failure);
  void ask_for(const Descriptor& blob);
  void ask_ahead();
  void ask_to_finish(const std::shared_ptr<Stream>& stream);
  void take_answer();
  void drop(const std::string& words);
  void note(std::size_t bytes);

  Parts parts_;
  SkopeoTries tries_;
  std::uint64_t image_ = 0;  ///< as the proxy numbers it; 0: not open
  std::deque<Descriptor> expected_;
  std::deque<Asked> asked_;
  std::map<std::string, std::shared_ptr<Stream>> streams_;  ///< by digest: open, and not being read yet
  std::map<std::string, std::string> failures_;             ///< by digest: why a request failed
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace sarde
