#include "core/image/disk/disk_chain.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/qcow2_header.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const fs::path& file, const std::string& why) {
  throw Error(Blame::job, "export: " + file.string() + " " + why);
}

fs::path existing(const fs::path& file, const std::string& role) {
  std::error_code error;
  auto canonical = fs::canonical(file, error);
  if (error) refuse(file, role + " cannot be found: " + error.message());
  if (!fs::is_regular_file(canonical, error) && !fs::is_block_file(canonical, error))
    refuse(file, role + " is neither a file nor a block device");
  return canonical;
}

/// Throws Error for a format that no image can hold, and for one that is not the file's own.
void check_format(const fs::path& path, const std::string& format, const std::optional<Qcow2Header>& header) {
  if (format.empty())
    refuse(path, "is a disk whose format the VM's definition does not say (<driver type='qcow2'/> does)");
  if (format != "qcow2" && format != "raw")
    refuse(path,
           "has the format " + quote(format) + "; images hold qcow2 and raw (qemu-img convert makes one)");
  if (format == "qcow2" && !header) refuse(path, "is said to be qcow2, but is not");
  if (format == "raw" && header)
    refuse(path,
           "is said to be raw, but is a qcow2 file; correct its <driver type='…'/> in the VM's definition");
}

/// One disk's files, base first; names are still to be given.
std::vector<ChainFile> chain_of(const ChainTop& top) {
  std::vector<ChainFile> chain;
  std::set<fs::path> seen;
  auto given = top.path;  // QEMU looks for a backing file from here, whatever this links to
  auto path = existing(given, "(a disk of the VM)");
  auto format = top.format;
  for (;;) {
    if (!seen.insert(path).second)
      refuse(top.path, "has a backing chain that loops: it comes back to " + path.string());
    const auto header = read_qcow2_header(path);
    check_format(path, format, header);
    if (chain.size() == deepest_chain)
      refuse(top.path, "has a backing chain of more than " + std::to_string(deepest_chain) +
                           " files (qemu-img rebase or virsh blockcommit shorten it)");
    if (format == "qcow2" && header->external_data)
      refuse(path, "keeps its data in an external file, which an image cannot hold");
    ChainFile file{.path = path,
                   .format = format,
                   .backing_text = {},
                   .backing_path = {},
                   .name = {},
                   .backing_name = {}};
    // What /dev/mapper/vg-root leads to is called dm-3.
    if (chain.empty() && fs::is_block_file(path)) file.name = top.path.filename().string() + ".raw";
    if (format == "raw" || !header->backing_file) {
      chain.insert(chain.begin(), std::move(file));
      return chain;
    }
    file.backing_text = *header->backing_file;
    if (!header->backing_format)
      refuse(path, "does not say the format of its backing file " + quote(file.backing_text) +
                       " (qemu-img rebase -u -F FORMAT -b FILE sets it)");
    given = backing_path(given, file.backing_text);
    format = *header->backing_format;
    const auto below = existing(given, "(the backing file of " + path.string() + ")");
    file.backing_path = below;
    chain.insert(chain.begin(), std::move(file));
    path = below;
  }
}

class Names {
 public:
  /// The file's own name, or one like it that nobody has yet.
  std::string give(const fs::path& file) {
    auto wanted = file.filename().string();
    if (!is_disk_name(wanted)) wanted = "disk" + file.extension().string();
    if (!is_disk_name(wanted)) wanted = "disk";
    const fs::path parts(wanted);
    auto name = wanted;
    for (unsigned i = 2; !given_.insert(name).second; ++i)
      name = parts.stem().string() + "-" + std::to_string(i) + parts.extension().string();
    return name;
  }

 private:
  std::set<std::string> given_;
};

}  // namespace

namespace {

/// The file named by QEMU's JSON, written with objects or with dots in its keys; empty if it is no plain
/// file.
std::string file_in_json(std::string_view text, const fs::path& file) {
  return read_json(text, "the backing file's name in " + file.string(), Blame::job,
                   [](const nlohmann::json& value) -> std::string {
                     if (!value.is_object() || value.empty()) return "";
                     const auto all = value.flatten();
                     std::string name;
                     for (const auto& [key, one] : all.items()) {
                       auto path = key.substr(1);
                       std::ranges::replace(path, '/', '.');
                       const auto word = one.is_string() ? one.get<std::string>() : one.dump();
                       if (path == "file.filename" || path == "filename") {
                         name = word;
                       } else if (path == "driver"        ? word != "qcow2" && word != "raw" && word != "file"
                                  : path == "file.driver" ? word != "file"
                                                          : path != "read-only" && path != "node-name") {
                         return "";
                       }
                     }
                     return name;
                   });
}

}  // namespace

fs::path backing_path(const fs::path& file, const std::string& backing_text) {
  constexpr std::string_view json = "json:";
  if (backing_text.starts_with(json)) {
    const fs::path named = file_in_json(std::string_view(backing_text).substr(json.size()), file);
    if (named.empty())
      refuse(file, "has the backing file " + quote(backing_text) +
                       ", which is no plain file (qemu-img rebase -u -F FORMAT -b FILE names one)");
    return named.is_absolute() ? named : file.parent_path() / named;
  }
  // QEMU takes what stands before a colon for a protocol, unless a slash comes first.
  std::string text = backing_text;
  if (text.starts_with("file:")) text.erase(0, 5);
  const auto colon = text.find(':');
  if (colon != std::string::npos && text.find('/') > colon)
    refuse(file,
           "has the backing file " + quote(backing_text) + ", which is no file that an image could hold");
  return fs::path(text).is_absolute() ? fs::path(text) : file.parent_path() / text;
}

std::vector<ChainFile> image_files(const std::vector<ChainTop>& tops) {
  std::vector<ChainFile> files;
  for (const auto& top : tops) {
    for (const auto& file : chain_of(top)) {
      if (std::ranges::find(files, file.path, &ChainFile::path) == files.end()) files.push_back(file);
    }
  }
  // Bases come first, and keep their names: so they are the same blobs as in an image of their own.
  std::map<fs::path, std::string> names;
  Names given;
  for (const auto& file : files) names[file.path] = given.give(file.name.empty() ? file.path : fs::path(file.name));
  for (auto& file : files) {
    file.name = names[file.path];
    if (!file.backing_text.empty()) file.backing_name = names.at(file.backing_path);
  }
  return files;
}

}  // namespace sarde
