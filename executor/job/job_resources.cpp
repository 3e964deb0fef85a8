#include "executor/job/job_resources.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/passt.hpp"
#include "executor/job/kept_door.hpp"

namespace sarde {

void Attempts::operator()(const std::string& what, const std::function<void()>& step) {
  try {
    step();
  } catch (const std::exception& error) {
    failures_.push_back(what + ": " + error.what());
  }
}

void Attempts::finish() const {
  if (!failures_.empty()) throw Error(join(failures_, "; "));
}

bool JobResources::are_there() const {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(folder_.path(), ignored));
}

void JobResources::take_down() const {
  if (!are_there()) return;
  bool vm_is_gone = !folder_.expects_vm();
  Attempts attempt;
  attempt("end the process that keeps the connection to the VM", [&] { stop_door_keeper(folder_); });
  if (!vm_is_gone) {
    attempt("destroy VM '" + name_.text() + "'", [&] {
      machines_().destroy(name_.text());
      vm_is_gone = true;
    });
  }
  attempt("stop the VM's network", [&] { stop_passt(folder_.network()); });
  // The folder names the VM, which may still be running. It is kept until the VM has been destroyed.
  if (vm_is_gone) attempt("remove the job's files", [&] { folder_.remove(); });
  attempt.finish();
}

Rollback::~Rollback() {
  if (is_dismissed_) return;
  try {
    resources_.take_down();
  } catch (const std::exception& error) {
    reporter_.warn(std::string("WARNING: ") + error.what());
  }
}

}  // namespace sarde
