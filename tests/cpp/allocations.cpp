// The operator new of the tests; see allocations.hpp.
#include "allocations.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace flatconv::tests {

std::atomic<long> allocations_left{unlimited};

namespace {

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (allocations_left.fetch_sub(1) <= 0) return nullptr;
    return alignment > alignof(std::max_align_t)
               ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
               : std::malloc(bytes ? bytes : 1);
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
    if (void* memory = allocate(bytes, alignment)) return memory;
    throw std::bad_alloc();
}

/// Not inlined, so that the compiler does not see malloc behind new and free behind delete, and warn.
[[gnu::noinline]] void release(void* memory) noexcept { std::free(memory); }

}  // namespace
}  // namespace flatconv::tests

using namespace flatconv::tests;

void* operator new(std::size_t bytes) { return allocate_or_throw(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t align) { return allocate_or_throw(bytes, std::size_t(align)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
    return allocate(bytes, std::size_t(align));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
