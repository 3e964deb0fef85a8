#pragma once

#include <string>
#include <string_view>

#include "core/foundation/error.hpp"

namespace sarde {

/// Whether the same request may succeed a little later.
enum class Repetition {
  useless,  ///< the answer will be the same
  brief,    ///< nothing answers: a registry that is being restarted is back within seconds, or not soon
  patient,  ///< the registry is busy or the connection broke
};

/// What a failure of skopeo means.
struct SkopeoFailure {
  std::string cause;  ///< what went wrong, and skopeo's words for it; without what was being done
  Blame blame = Blame::host;
  bool is_about_access = false;  ///< other credentials might do
  bool is_about_size = false;    ///< something before the registry refuses uploads of this size
  Repetition repetition = Repetition::useless;

  /// Throws it as Error, or as AccessDenied where other credentials might do. `doing` starts the message
  /// ("fetch 'a/b:c'").
  [[noreturn]] void raise(const std::string& doing) const;
};

/// Reads skopeo's stderr: it exits with 1 for everything.
SkopeoFailure explain_skopeo_failure(std::string_view errors);

}  // namespace sarde
