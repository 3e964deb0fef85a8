#pragma once

#include <string>
#include <vector>

#include "executor/commands/command_tools.hpp"

namespace sarde {

struct ConfigRequest {
  std::string container;  ///< an image in the cache
  bool raw = false;       ///< `container` is the folder of a layout
};

struct InspectRequest {
  std::string container;
  bool raw = false;        ///< `container` is the folder of a layout
  bool remote = false;     ///< ask the registry even if the image is in the cache
  std::string other = {};  ///< an image to compare with; empty: none
  AnswerForm form = AnswerForm::text;
  unsigned threads = 1;
  std::uint64_t max_image = UINT64_MAX;           ///< bytes that a disk may unpack to
  std::vector<std::string> allowed_devices = {};  ///< of jobs, by the settings
};

/// `getconfig`: the image's vm config, indented but otherwise unchanged; empty if the image has none.
std::string config_of_image(const CommandTools& tools, const ConfigRequest& request);

/// `inspect`: what an image consists of: layers, disks, backing chain, login and ports. Reads the image from
/// the cache; if it is not there, or with --remote, asks the registry without downloading the disks. With
/// `other`: compare_images() instead.
std::string inspect_image(const CommandTools& tools, const InspectRequest& request);

}  // namespace sarde
