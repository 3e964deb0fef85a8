#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "core/image/image_store.hpp"
#include "core/image/registry.hpp"
#include "executor/stages/job_resources.hpp"
#include "executor/stages/reporter.hpp"

namespace sarde {

/// What the commands that move images work with.
struct ImageCommandParts {
  const Settings& settings;
  const ImageStore& images;
  Registry& registry;
  HypervisorSource hypervisor;
  Clock& clock;
  Cancellation& cancellation;
  Reporter& reporter;
  unsigned threads = 1;
};

/// `fetch [--source REF] CONTAINER`: from the registry (under the name `source`, if given) into the cache.
StoredImage fetch_image(const ImageCommandParts& parts, const std::string& container,
                        const std::string& source);

enum class PrintedId { name, uuid };

struct ImportRequest {
  std::string container;  ///< a reference, or with `raw` the folder of a layout
  bool raw = false;
  std::string name;  ///< of the VM; empty: the image config's digest
  PrintedId print = PrintedId::name;
};

/// `import`: unpacks and defines the VM, which is not started. Returns what stdout gets: its name or UUID.
std::string import_image(const ImageCommandParts& parts, const ImportRequest& request);

struct ExportRequest {
  std::string vm;         ///< a libvirt domain's name
  std::string container;  ///< a reference, or with `raw` a folder
  bool raw = false;
};

/// `export`: a VM that is shut down becomes an image in the cache. Returns the image's name.
std::string export_image(const ImageCommandParts& parts, const ExportRequest& request);

/// `push [--target REF] CONTAINER`: from the cache to the registry (under the name `target`, if given).
void push_image(const ImageCommandParts& parts, const std::string& container, const std::string& target);

}  // namespace sarde
