// Allocations as the tests of memory see them: counted, and failing on request. This executable's operator new is that
// of allocations.cpp.
#ifndef FLATCONV_TESTS_ALLOCATIONS_HPP
#define FLATCONV_TESTS_ALLOCATIONS_HPP

#include <atomic>
#include <limits>

namespace flatconv::tests {

inline constexpr long unlimited = std::numeric_limits<long>::max();

/// How many may still succeed, in all threads together.
extern std::atomic<long> allocations_left;

/// Lets no more than `count` allocations succeed while `call` runs.
template <typename Call>
auto with_allocations(long count, const Call& call) {
    allocations_left = count;
    auto result = call();
    allocations_left = unlimited;
    return result;
}

}  // namespace flatconv::tests

#endif
