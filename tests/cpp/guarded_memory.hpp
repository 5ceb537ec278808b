// Memory that ends at a page which must not be touched: a kernel that reads one element too many is stopped by the
// hardware, whatever the build.
#ifndef FLATCONV_TESTS_GUARDED_MEMORY_HPP
#define FLATCONV_TESTS_GUARDED_MEMORY_HPP

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace flatconv::tests {

template <typename T>
class GuardedMemory {
  public:
    explicit GuardedMemory(std::size_t most_elements) {
        const auto page = std::size_t(sysconf(_SC_PAGESIZE));
        room_ = (most_elements * sizeof(T) + page - 1) / page * page;
        bytes_ = room_ + page;
        memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory_ != MAP_FAILED);
        REQUIRE(mprotect(static_cast<std::byte*>(memory_) + room_, page, PROT_NONE) == 0);
    }
    ~GuardedMemory() { munmap(memory_, bytes_); }
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;

    /// Room for `count` elements, the last of which is the last before the guard.
    T* ending(std::size_t count) const {
        return reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + room_) - count;
    }

    /// A copy of the first `count` numbers at the end.
    T* copy(const std::vector<T>& numbers, std::size_t count) const {
        T* const place = ending(count);
        std::copy_n(numbers.begin(), count, place);
        return place;
    }

  private:
    std::size_t room_, bytes_;
    void* memory_;
};

}  // namespace flatconv::tests

#endif
