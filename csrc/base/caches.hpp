// What is assumed of a CPU's caches, to choose by; no result depends on it.
#ifndef FLATCONV_BASE_CACHES_HPP
#define FLATCONV_BASE_CACHES_HPP

#include <cstdint>

namespace flatconv {

inline constexpr std::int64_t first_level_cache = 32 << 10;  // bytes
inline constexpr std::int64_t second_level_cache = 1 << 20;  // bytes

}  // namespace flatconv

#endif
