#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/store/image_store.hpp"
#include "core/vm/hypervisor.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

/// The form in which a command prints its result to stdout.
enum class AnswerForm { text, json };

/// What commands work with. Each command is a function in its own file. It takes its request as a struct and
/// returns the text for stdout.
struct CommandTools {
  const ImageStore& images;
  Registry& registry;
  Source<Hypervisor> hypervisor;
  Clock& clock;
  Cancellation& cancellation;
  Reporter& reporter;
  std::size_t columns = 0;  ///< of the terminal that shows the answer; 0: it goes to a file or a program
  std::vector<std::pair<std::string, std::string>> helpers = {};  ///< environment of programs that are run
};

}  // namespace sarde
