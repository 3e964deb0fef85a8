#pragma once

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/store/image_store.hpp"
#include "core/vm/hypervisor.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

/// In what form an answer goes to stdout.
enum class AnswerForm { text, json };

/// What commands work with. Each command is a function in a file of its own that takes what was asked for as
/// a struct of its own; it returns what goes to stdout.
struct CommandTools {
  const ImageStore& images;
  Registry& registry;
  Source<Hypervisor> hypervisor;
  Clock& clock;
  Cancellation& cancellation;
  Reporter& reporter;
};

}  // namespace sarde
