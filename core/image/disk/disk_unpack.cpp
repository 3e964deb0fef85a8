#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/disk_sink.hpp"
#include "core/image/disk/qcow2_format.hpp"
#include "core/image/disk/sparse_writer.hpp"
#include "core/image/disk/unpacker.hpp"

namespace sarde {

namespace {

/// Keeps the first bytes and counts all.
class SummarySink final : public DiskSink {
 public:
  void put(std::span<const unsigned char> /*data*/, std::uint64_t /*at*/) const override {}

  void took(std::span<const unsigned char> data) override {
    const auto wanted = std::min(data.size(), kept_head - std::min(kept_head, summary_.head.size()));
    summary_.head.insert(summary_.head.end(), data.begin(),
                         data.begin() + static_cast<std::ptrdiff_t>(wanted));
    summary_.size += data.size();
  }

  bool share(const KnownSpan& /*span*/) override { return false; }

  DiskSummary finish(std::string name) {
    summary_.name = std::move(name);
    return std::move(summary_);
  }

 private:
  static constexpr std::size_t kept_head = qcow2::largest_header;
  DiskSummary summary_;
};

/// Data is used before the blob that it comes from has been compared with its digest: if it cannot be
/// unpacked, that may be the cause.
template <typename Work>
auto blaming_the_right_one(Unpacker& unpacker, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.blame() == Blame::job) unpacker.check_blob();
    throw;
  }
}

}  // namespace

UnpackedDisk unpack_disk(BlobSource& blobs, const DiskLayers& disk, const std::filesystem::path& folder,
                         const UnpackOptions& options, Cancellation& cancellation) {
  Unpacker unpacker(blobs, disk, options, cancellation);
  return blaming_the_right_one(unpacker, [&] {
    const auto name = unpacker.name();
    if (!is_disk_name(name))
      throw Error(Blame::job,
                  "the disk's gzip header names the file " + quote(name) + ", which is no plain file name");
    SparseWriter writer(folder / name,
                        options.with_diff_id ? SparseWriter::Hashing::whole : SparseWriter::Hashing::none);
    try {
      unpacker.run(writer);
      auto unpacked = writer.finish(name, options.sync);
      unpacked.spans = unpacker.spans();
      return unpacked;
    } catch (...) {
      if (options.unfinished != nullptr)
        options.unfinished->push_back(
            {.name = name, .spans = unpacker.whole_spans(writer.size()), .pieces = writer.pieces()});
      throw;
    }
  });
}

DiskSummary summarize_disk(BlobSource& blobs, const DiskLayers& disk, const UnpackOptions& options,
                           Cancellation& cancellation) {
  Unpacker unpacker(blobs, disk, options, cancellation);
  return blaming_the_right_one(unpacker, [&] {
    auto name = unpacker.name();
    SummarySink sink;
    unpacker.run(sink);
    return sink.finish(std::move(name));
  });
}

}  // namespace sarde
