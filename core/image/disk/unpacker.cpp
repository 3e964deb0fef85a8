#include "core/image/disk/unpacker.hpp"

#include <algorithm>
#include <memory>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/ordered_workers.hpp"

namespace sarde {

namespace {

constexpr std::size_t largest_header = 66U << 10U;  ///< FEXTRA can have 64 KiB
constexpr std::size_t largest_member = 2 * member_size;

/// A piece of a disk: a member to open, or data that is there already.
struct Piece {
  Buffer member;
  Buffer data;
  std::uint64_t at = 0;
};

[[noreturn]] void fail_short() {
  throw Error(Blame::job, "the disk's gzip data ends too early");
}

bool is_sized(const MemberHeader& header) {
  return header.member_size && *header.member_size <= largest_member;
}

}  // namespace

std::string Unpacker::name() {
  // A disk's first layer has the name in it, and what came from that layer got it.
  if (const auto* known = known_here()) return known->file.filename().string();
  const auto header = next_header();
  return header && header->name ? *header->name : std::string();
}

void Unpacker::run(DiskSink& sink) {
  for (;;) {
    switch (look_ahead()) {
      case Ahead::known_layer:
        share(sink);
        break;
      case Ahead::sized_member:
        open_members(sink);
        break;
      case Ahead::other_member:
        inflate_members(sink);
        break;
      case Ahead::nothing:
        return;
    }
  }
}

/// Does not look into a layer whose data is known: then it need not even be fetched.
Unpacker::Ahead Unpacker::look_ahead() {
  if (known_here() != nullptr) return Ahead::known_layer;
  header_ = next_header();
  if (!header_) return Ahead::nothing;
  return is_sized(*header_) ? Ahead::sized_member : Ahead::other_member;
}

std::optional<MemberHeader> Unpacker::next_header() {
  const auto bytes = reader_.peek(largest_header);
  if (bytes.empty()) return std::nullopt;
  auto header = parse_member_header(bytes);
  if (!header) fail_short();
  return header;
}

/// The known data of the layer that begins here, if it can take its place.
const KnownSpan* Unpacker::known_here() {
  const auto layer = places_.note(reader_.consumed(), written_);
  if (!layer || !can_share_) return nullptr;
  const auto known = options_.known->find(places_.digest(*layer).text());
  const bool fits =
      known != options_.known->end() && known->second.at == written_ && known->second.length > 0;
  return fits ? &known->second : nullptr;
}

void Unpacker::share(DiskSink& sink) {
  const auto layer = *places_.note(reader_.consumed(), written_);
  const auto& known = *known_here();
  if (!sink.share(known)) {
    can_share_ = false;
    return;
  }
  grow(known.length);
  if (const auto next = places_.next_after(layer)) {
    reader_.pass_to_last_byte_before(*next);
  } else {
    reader_.pass_to(places_.total());
  }
  sign_of_life();
}

/// Members whose size is in their headers: all threads open and write them, this one reads and hashes.
void Unpacker::open_members(DiskSink& sink) {
  OrderedWorkers<Piece> workers(
      options_.threads,  // this thread has as much to do as one of them
      [&sink] {
        return [&sink, opener = std::make_shared<MemberDecompressor>()](Piece& piece) {
          opener->decompress(piece.member.bytes(), piece.data);
          sink.put(piece.data.bytes(), piece.at);
        };
      },
      [&sink](Piece& piece) { sink.took(piece.data.bytes()); });
  while (look_ahead() == Ahead::sized_member) {
    sign_of_life();
    const auto size = std::max<std::size_t>(*header_->member_size, header_->header_size);
    const auto bytes = reader_.peek(size);
    if (bytes.size() < size) fail_short();
    auto& piece = workers.next();
    std::copy_n(bytes.begin(), size, piece.member.make(size));
    piece.at = written_;
    grow(member_data_size(piece.member.bytes()));
    workers.submit();
    reader_.skip(size);
  }
  workers.finish();
}

/// Members of unknown size: this thread inflates, another one writes and hashes.
void Unpacker::inflate_members(DiskSink& sink) {
  OrderedWorkers<Piece> writer(
      1,
      [&sink] {
        return [&sink](Piece& piece) {
          sink.put(piece.data.bytes(), piece.at);
          sink.took(piece.data.bytes());
        };
      },
      [](Piece& /*piece*/) {});
  while (look_ahead() == Ahead::other_member) {
    reader_.skip(header_->header_size);
    MemberInflater inflater;
    for (bool ended = false; !ended;) {
      sign_of_life();
      auto& piece = writer.next();
      piece.data.make(member_size);
      piece.at = written_;
      ended = fill(inflater, piece.data);
      grow(piece.data.size());
      writer.submit();
    }
  }
  writer.finish();
}

/// Inflates until the buffer is full or the member ends; tells whether it did.
bool Unpacker::fill(MemberInflater& inflater, Buffer& data) {
  std::size_t filled = 0;
  bool ended = false;
  while (!ended && filled < data.size()) {
    cancellation_.check();  // a member may take long to give nothing
    const auto bytes = reader_.peek(1);
    const auto step = inflater.inflate(bytes, {data.data() + filled, data.size() - filled});
    if (bytes.empty() && step.written == 0 && !step.ended) fail_short();
    reader_.skip(step.read);
    filled += step.written;
    ended = step.ended;
  }
  data.cut(filled);
  return ended;
}

/// The file has that many bytes more.
void Unpacker::grow(std::uint64_t count) {
  written_ += count;
  if (written_ > options_.limit)
    throw Error(Blame::job, "a disk of the image unpacks to more than " + size_text(options_.limit) +
                                ", which is all that is left of what it declares, or of max-image");
}

void Unpacker::sign_of_life() {
  cancellation_.check();
  if (options_.progress) options_.progress(reader_.consumed(), places_.total());
}

}  // namespace sarde
