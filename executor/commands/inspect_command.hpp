#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

struct ConfigRequest {
  std::string container;  ///< an image in the cache
  bool raw = false;       ///< `container` is the folder of a layout
};

struct InspectRequest {
  std::string container;
  bool raw = false;     ///< `container` is the folder of a layout
  bool remote = false;  ///< the registry is asked even if the image is in the cache
  AnswerForm form = AnswerForm::text;
  unsigned threads = 1;
  std::uint64_t max_image = UINT64_MAX;  ///< bytes that a disk may unpack to
};

/// `getconfig`: the image's vm config as it is, indented; empty if it has none.
std::string config_of_image(const CommandTools& tools, const ConfigRequest& request);

/// `inspect`: what an image consists of: layers, disks, backing chain, login, ports. From the cache, else (or
/// with --remote) from the registry, without bringing the disks.
std::string inspect_image(const CommandTools& tools, const InspectRequest& request);

}  // namespace sarde
