#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/image/registry/skopeo_proxy.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// A proxy, which is started when it is needed and again if it has ended, and the images that are open in it.
/// What it is made from must outlive it. Its functions throw Error and Cancelled; what skopeo says of a
/// failure is in the answer.
class ProxySession {
 public:
  /// `arguments`: the whole command.
  ProxySession(const SkopeoSettings& settings, std::vector<std::string> arguments,
               const Environment& environment)
      : settings_(settings), arguments_(std::move(arguments)), environment_(environment) {}

  [[nodiscard]] const std::vector<std::string>& arguments() const { return arguments_; }

  /// Whether this skopeo has a proxy that can be used. Before the first answer it is taken to have one.
  [[nodiscard]] bool is_usable() const { return is_usable_; }

  /// Whether it checks signatures: so it does from version 0.2.6 of its protocol on.
  [[nodiscard]] bool checks_signatures() const { return checks_signatures_; }

  /// Starts the proxy unless it runs.
  SkopeoProxy::Answer start(const ProxyWaits& waits);

  /// Opens the image (`name`: as ImageReference::transport_text() has it) anew; number: the image's. If the
  /// proxy has ended, `failure` says so, and the next call starts another.
  SkopeoProxy::Answer open(const std::string& repository, const std::string& name, const ProxyWaits& waits);

  /// An image of the repository that is open already, or this one. Its blobs are those of the repository.
  SkopeoProxy::Answer open_any(const std::string& repository, const std::string& name,
                               const ProxyWaits& waits);

  /// The manifest of an open image; text: its content, `digest`: its digest as the registry has it.
  SkopeoProxy::Answer manifest(std::uint64_t image, std::string& digest, const ProxyWaits& waits);

  /// Only while it runs.
  SkopeoProxy& proxy() { return *proxy_; }

  [[nodiscard]] bool runs() const { return proxy_ != nullptr; }

  /// Ends the proxy.
  void end();

 private:
  const SkopeoSettings& settings_;
  std::vector<std::string> arguments_;
  const Environment& environment_;
  std::unique_ptr<SkopeoProxy> proxy_;
  std::map<std::string, std::uint64_t> images_;  ///< by repository
  bool is_usable_ = true;
  bool checks_signatures_ = false;
};

}  // namespace sarde
