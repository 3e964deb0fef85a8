#include "tests/support/spent.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <malloc.h>
#include <new>
#include <pugixml.hpp>

namespace {

std::atomic<std::ptrdiff_t> in_use = 0;
std::atomic<std::ptrdiff_t> most = 0;

void count(void* memory, int sign) {
  const auto now = in_use += sign * static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  auto before = most.load();
  while (now > before && !most.compare_exchange_weak(before, now)) {
  }
}

void* counted(std::size_t size) {
  void* memory = std::malloc(std::max<std::size_t>(size, 1));  // NOLINT(cppcoreguidelines-no-malloc)
  if (memory != nullptr) count(memory, 1);
  return memory;
}

void give_back(void* memory) noexcept {
  if (memory != nullptr) count(memory, -1);
  std::free(memory);  // NOLINT(cppcoreguidelines-no-malloc)
}

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = counted(size)) return memory;
  throw std::bad_alloc();
}

void* operator new[](std::size_t size) {
  return operator new(size);
}

void operator delete(void* memory) noexcept {
  give_back(memory);
}

void operator delete[](void* memory) noexcept {
  give_back(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept {
  give_back(memory);
}

void operator delete[](void* memory, std::size_t /*size*/) noexcept {
  give_back(memory);
}

namespace sarde::testing {

Spent spent_in(const std::function<void()>& work) {
  pugi::set_memory_management_functions(counted, give_back);
  const auto before = in_use.load();
  most = before;
  const auto start = processor_seconds();
  work();
  return {.seconds = processor_seconds() - start,
          .peak = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, most - before))};
}

}  // namespace sarde::testing
