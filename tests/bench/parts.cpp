// The parts of an import and an export, each by itself (tests/bench/images, row `limits`):
//
//   parts hash FILE…      the SHA-256 of each file
//   parts inflate LIST    the members of the layers that LIST names, one a line, in one thread
//   parts deflate FILE    each MiB of the file, as `export --compression fast` does, in one thread
//
// Prints the processor time that it took, in seconds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <isa-l.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <string>
#include <vector>

namespace {

void append(std::string& all, const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  std::vector<char> buffer(1U << 20U);
  while (const auto got = file == nullptr ? 0 : std::fread(buffer.data(), 1, buffer.size(), file))
    all.append(buffer.data(), got);
  if (file != nullptr) std::fclose(file);
}

int hash(const std::vector<std::string>& files) {
  const auto start = std::clock();
  std::vector<char> buffer(1U << 20U);
  for (const auto& path : files) {
    auto* context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) return 1;
    while (const auto got = std::fread(buffer.data(), 1, buffer.size(), file))
      EVP_DigestUpdate(context, buffer.data(), got);
    std::fclose(file);
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(context, digest, nullptr);
    EVP_MD_CTX_free(context);
  }
  std::printf("%f\n", static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  return 0;
}

/// The size that a member of ours states in its header (docs/image-format.md).
std::size_t stated_size(const unsigned char* member) {
  constexpr unsigned flag_extra = 4;
  if (member[0] != 0x1f || member[1] != 0x8b || (member[3] & flag_extra) == 0) return 0;
  const auto* field = member + 12;
  if (field[0] != 'S' || field[1] != 'D') return 0;
  return field[4] | field[5] << 8U | field[6] << 16U | static_cast<std::size_t>(field[7]) << 24U;
}

int inflate(const std::string& list) {
  std::ifstream names(list);
  std::string stream;
  for (std::string name; std::getline(names, name);) append(stream, name);
  const auto start = std::clock();
  auto* decompressor = libdeflate_alloc_decompressor();
  std::vector<char> data(4U << 20U);
  std::size_t at = 0;
  while (at < stream.size()) {
    const auto size = stated_size(reinterpret_cast<const unsigned char*>(stream.data()) + at);
    std::size_t got = 0;
    if (size == 0 || libdeflate_gzip_decompress(decompressor, stream.data() + at, size, data.data(),
                                                data.size(), &got) != LIBDEFLATE_SUCCESS) {
      std::fprintf(stderr, "no member of ours at byte %zu\n", at);
      return 1;
    }
    at += size;
  }
  libdeflate_free_decompressor(decompressor);
  std::printf("%f\n", static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  return 0;
}

int deflate(const std::string& path) {
  std::string all;
  append(all, path);
  const auto start = std::clock();
  constexpr std::size_t mebi = 1U << 20U;
  std::vector<unsigned char> level_buffer(ISAL_DEF_LVL2_DEFAULT);
  std::vector<unsigned char> member(2 * mebi);
  for (std::size_t at = 0; at < all.size(); at += mebi) {
    isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.level = 2;
    stream.level_buf = level_buffer.data();
    stream.level_buf_size = static_cast<std::uint32_t>(level_buffer.size());
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.next_in = reinterpret_cast<unsigned char*>(all.data()) + at;
    stream.avail_in = static_cast<std::uint32_t>(std::min(mebi, all.size() - at));
    stream.next_out = member.data();
    stream.avail_out = static_cast<std::uint32_t>(member.size());
    if (isal_deflate_stateless(&stream) != COMP_OK) return 1;
  }
  std::printf("%f\n", static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> rest(words + 2, words + count);
  const std::string part = words[1];
  return part == "hash" ? hash(rest) : part == "deflate" ? deflate(rest.front()) : inflate(rest.front());
}
