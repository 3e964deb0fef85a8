// Targets that go through files: a disk's gzip stream as an import unpacks it, and configuration files.
#include "tests/fuzz/file_targets.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "config/sardinecake_ini.hpp"
#include "config/settings_file.hpp"
#include "core/foundation/error.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"
#include "tests/fuzz/must.hpp"

namespace sarde::fuzz {

namespace fs = std::filesystem;

namespace {

/// A folder of this process; the runner of the targets sets TMPDIR to one in memory.
const fs::path& own_folder() {
  static const auto folder = TempFolder::in(fs::temp_directory_path(), "sarde-fuzz-", 0700);
  return folder.path();
}

fs::path file_of(Input bytes) {
  auto path = own_folder() / "input";
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  write_full(fd.get(), bytes.data(), bytes.size(), path.string());
  return path;
}

/// What an import makes of the layers. Whatever it accepts must be one file, of a plain name, that is what
/// the import says of it, and `inspect` must read the same in it. Throws Error.
std::string unpacked(const std::vector<Input>& chunks) {
  const auto work = TempFolder::in(own_folder(), "disk-", 0700);
  const OciLayout layout(work.path() / "oci");
  layout.create();
  DiskLayers disk;
  for (const auto& chunk : chunks) {
    auto incoming = layout.incoming_blob();
    incoming.write(chunk.data(), chunk.size());
    disk.chunks.push_back(incoming.keep("application/x-qemu-disk+gzip"));
  }
  constexpr std::uint64_t limit = 8U << 20U;
  const UnpackOptions options{.threads = 1, .with_diff_id = true, .limit = limit};
  Cancellation never;
  const auto folder = work.path() / "vm";
  make_folders(folder, 0700);
  LayoutBlobs blobs(layout);
  const auto result = unpack_disk(blobs, disk, folder, options, never);
  must(is_disk_name(result.name) && result.size <= limit);
  must(std::distance(fs::directory_iterator(folder), {}) == 1);
  auto content = read_file(folder / result.name);
  must(content.size() == result.size && Digest::of(content) == result.diff_id);
  for (const auto& span : result.spans) must(span.at <= result.size && span.length <= result.size - span.at);
  const auto summary = summarize_disk(blobs, disk, options, never);
  must(summary.name == result.name && summary.size == result.size &&
       content.starts_with(std::string(summary.head.begin(), summary.head.end())));
  return content;
}

/// A stream of whole members, described by the input: mutations of a stream itself seldom come past its
/// checksums.
class Recipe {
 public:
  explicit Recipe(Input steps) : steps_(steps) {}

  void follow() {
    constexpr std::size_t most = 4U << 20U;
    while (!steps_.empty() && expected_.size() < most) step();
  }

  [[nodiscard]] std::vector<Input> chunks() {
    std::ranges::sort(cuts_);
    std::vector<Input> result;
    std::size_t begin = 0;
    for (const auto cut : cuts_) {
      const auto end = std::min(cut, stream_.size());
      result.push_back(Input(stream_).subspan(begin, end - begin));
      begin = end;
    }
    result.push_back(Input(stream_).subspan(begin));
    return result;
  }

  /// The disk, if the stream is one that must be read.
  [[nodiscard]] std::optional<std::string> expected() const {
    return is_odd_ || stream_.empty() ? std::nullopt : std::optional(expected_);
  }

 private:
  enum Kind : unsigned char { small, fast, unsized, boundary, raw, damage, kinds };

  unsigned char take() {
    if (steps_.empty()) return 0;
    const auto byte = steps_.front();
    steps_ = steps_.subspan(1);
    return byte;
  }

  std::size_t take_size() {
    const std::size_t low = take();
    return low | std::size_t{take()} << 8U;
  }

  void step() {
    switch (static_cast<Kind>(take() % kinds)) {
      case small:
        return add(Compression::small, true);
      case fast:
        return add(Compression::fast, true);
      case unsized:
        return add(Compression::small, false);
      case boundary:
        return cuts_.push_back(stream_.size() + take() % 2);
      case raw: {
        const auto bytes = steps_.first(std::min<std::size_t>(take(), steps_.size()));
        stream_.insert(stream_.end(), bytes.begin(), bytes.end());
        steps_ = steps_.subspan(bytes.size());
        is_odd_ = true;
        return;
      }
      default: {
        const auto at = take_size();
        if (at < stream_.size()) stream_[at] ^= take();
        is_odd_ = true;
      }
    }
  }

  void add(Compression compression, bool sized) {
    Bytes data(take_size());
    const auto seed = take();
    std::uint32_t state = seed;
    for (auto& byte : data) {
      state = state * 1664525U + 1013904223U;
      byte = seed % 2 == 0 ? seed / 2 : static_cast<unsigned char>(state >> 24U);
    }
    Buffer member;
    MemberCompressor(compression).compress(data, stream_.empty() ? "disk" : "", member);
    constexpr std::size_t subfield_at = 12;
    if (!sized) member.data()[subfield_at] = 'X';
    const auto bytes = member.bytes();
    stream_.insert(stream_.end(), bytes.begin(), bytes.end());
    expected_.append(data.begin(), data.end());
  }

  Input steps_;
  Bytes stream_;
  std::vector<std::size_t> cuts_;
  std::string expected_;
  bool is_odd_ = false;
};

const std::set<std::string>& commands() {
  static const std::set<std::string> some{"pull", "import", "login", "run"};
  return some;
}

}  // namespace

void gzip(Input bytes) {
  tolerate([&] { static_cast<void>(unpacked({bytes})); });
}

void disk(Input bytes) {
  Recipe recipe(bytes);
  recipe.follow();
  const auto expected = recipe.expected();
  try {
    const auto content = unpacked(recipe.chunks());
    must(!expected || content == *expected);
  } catch (const Error&) {
    must(!expected);
  }
}

void qcow2(Input bytes) {
  tolerate([&] {
    const auto given = parse_qcow2_header(bytes, "it");
    if (!given || !given->backing_file) return;
    const auto head = qcow2_head_with_backing(file_of(bytes), "base.qcow2");
    const auto header = parse_qcow2_header(head, "it");
    must(!header || header->backing_file == "base.qcow2");
  });
}

void settings(Input bytes) {
  tolerate([&] {
    const auto text = to_toml(read_settings_file(file_of(bytes), commands()));
    const Input again(reinterpret_cast<const unsigned char*>(text.data()), text.size());
    must(to_toml(read_settings_file(file_of(again), commands())) == text);
  });
}

void ini(Input bytes) {
  const auto path = file_of(bytes);
  for (const auto kind : {IniKind::sarde, IniKind::executor}) {
    tolerate([&] { static_cast<void>(read_ini_settings(path, kind, commands())); });
  }
  tolerate([&] { static_cast<void>(kind_of_ini(path, commands())); });
}

}  // namespace sarde::fuzz
