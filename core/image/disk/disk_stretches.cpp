#include "core/image/disk/disk_stretches.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t most_stretches = 2048;
constexpr std::size_t digits_of_state = 64;

std::string to_text(const Sha256::State& state) {
  std::array<unsigned char, 32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(state[i / 4] >> (24 - 8 * (i % 4)));
  return to_hex(bytes.data(), bytes.size());
}

/// The stretch with this number, read and hashed on from the one before it. Behind the whole ones comes what
/// is left of the file.
bool agrees(int fd, const std::string& name, const DiskStretches& stretches, std::size_t number,
            Bytes& buffer, Cancellation& cancellation) {
  const auto start = number * stretches.length;
  const bool is_last = number == stretches.after.size();
  Sha256 hash = number == 0 ? Sha256() : Sha256(stretches.after[number - 1], start);
  if (::lseek(fd, static_cast<off_t>(start), SEEK_SET) < 0)
    throw Error("read " + name + ": " + errno_text(errno));
  for (auto left = is_last ? stretches.size - start : stretches.length; left > 0;) {
    cancellation.check();
    const auto got = read_full(fd, buffer.data(), std::min<std::uint64_t>(left, buffer.size()), name);
    if (got == 0) return false;
    hash.update(buffer.data(), got);
    left -= got;
  }
  return is_last ? hash.finish().text() == stretches.digest : hash.state() == stretches.after[number];
}

std::set<std::size_t> sample_of(std::size_t count) {
  std::random_device random;
  std::uniform_int_distribution<std::size_t> any(0, count - 1);
  return {0, any(random), any(random)};
}

}  // namespace

std::string DiskStretches::text() const {
  auto all = digest + " " + std::to_string(size) + " " + std::to_string(length) + " ";
  for (const auto& state : after) all += to_text(state);
  return all;
}

DiskStretches DiskStretches::parse(const std::string& text) {
  const auto words = split(text, ' ');
  if (words.size() != 4 || words[3].size() % digits_of_state != 0) return {};
  const auto size = parse_number(words[1]);
  const auto length = parse_number(words[2]);
  const auto count = words[3].size() / digits_of_state;
  if (!size || !length || *length == 0 || *length % 64 != 0 || count != *size / *length) return {};
  DiskStretches stretches{
      .length = *length, .after = std::vector<Sha256::State>(count), .size = *size, .digest = words[0]};
  for (std::size_t i = 0; i < count * 8; ++i) {
    const auto word = parse_hex(std::string_view(words[3]).substr(8 * i, 8));
    if (!word) return {};
    stretches.after[i / 8][i % 8] = static_cast<std::uint32_t>(*word);
  }
  return stretches;
}

void StretchNotes::update(Sha256& hash, const unsigned char* data, std::size_t size) {
  while (size > 0) {
    const auto to_end = stretches_.length - stretches_.size % stretches_.length;
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(size, to_end));
    hash.update(data, now);
    stretches_.size += now;
    data += now;
    size -= now;
    if (stretches_.size % stretches_.length != 0) continue;
    stretches_.after.push_back(hash.state());
    if (stretches_.after.size() <= most_stretches) continue;
    // Every second one stays, and each is twice as long.
    std::vector<Sha256::State> half;
    for (std::size_t i = 1; i < stretches_.after.size(); i += 2) half.push_back(stretches_.after[i]);
    stretches_.after = std::move(half);
    stretches_.length *= 2;
  }
}

DiskStretches StretchNotes::finish(const Digest& digest) {
  stretches_.digest = digest.text();
  return std::move(stretches_);
}

bool stretches_agree(const std::filesystem::path& file, const DiskStretches& stretches, StretchCheck check,
                     Cancellation& cancellation) {
  if (stretches.length == 0) return true;
  const auto count = stretches.after.size() + 1;  // and what is left behind them
  const auto fd = open_to_read(file);
  const auto name = file.string();
  constexpr std::size_t step = 1U << 20U;
  Bytes buffer(step);
  const auto is_right = [&](std::size_t number) {
    return agrees(fd.get(), name, stretches, number, buffer, cancellation);
  };
  if (check == StretchCheck::sample) return std::ranges::all_of(sample_of(count), is_right);
  for (std::size_t i = 0; i < count; ++i)
    if (!is_right(i)) return false;
  return true;
}

}  // namespace sarde
