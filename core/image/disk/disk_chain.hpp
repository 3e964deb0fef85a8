#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sarde {

/// Files that a backing chain may have: more than people have, and far less than libvirt's own bound.
inline constexpr std::size_t deepest_chain = 32;

/// A disk file as it goes into an image.
struct ChainFile {
  std::filesystem::path path;          ///< canonical
  std::string format;                  ///< qcow2 or raw
  std::string backing_text;            ///< its backing file as its header has it; empty: none
  std::filesystem::path backing_path;  ///< canonical; empty: none
  std::string name;                    ///< in the image: bare, and no other file's
  std::string backing_name;            ///< its backing file's name in the image; empty: none
};

/// The top of a disk's backing chain.
struct ChainTop {
  std::filesystem::path path;
  std::string format;  ///< as the domain says it
};

/// The files that these disks consist of, each once, bases before what reads from them, and the names that
/// they have in an image: a file keeps its own where no earlier one has it. Throws Error (the job's
/// fault), naming the file, for a chain that loops, misses a file, leaves a format unsaid, has its data in an
/// external file or in something else than a file, and for formats other than qcow2 and raw.
std::vector<ChainFile> image_files(const std::vector<ChainTop>& tops);

/// The path that a backing file's name in a qcow2 header stands for, as QEMU reads it; also of a plain file
/// that is named in JSON, as libvirt does (`json:{"driver": …, "file": {"filename": …}}`). Throws Error where
/// that is no file (nbd:, …).
std::filesystem::path backing_path(const std::filesystem::path& file, const std::string& backing_text);

}  // namespace sarde
