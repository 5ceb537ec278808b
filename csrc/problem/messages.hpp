// The words that the messages of this room share.
#ifndef FLATCONV_PROBLEM_MESSAGES_HPP
#define FLATCONV_PROBLEM_MESSAGES_HPP

#include <flatconv/flatconv.hpp>

#include <string>
#include <utility>

namespace flatconv {

inline constexpr const char* axis_names[max_spatial_rank] = {"depth", "height", "width"};

inline Status invalid(std::string message) { return {StatusCode::invalid_argument, std::move(message)}; }
inline Status overflow(std::string message) { return {StatusCode::size_overflow, std::move(message)}; }

inline std::string text(std::int64_t value) { return std::to_string(value); }

/// The sizes of a problem's own axes, "8 × 8".
inline std::string by_axis(const Extent& sizes, int rank) {
    std::string joined;
    for (int axis = max_spatial_rank - rank; axis < max_spatial_rank; ++axis) {
        joined += (joined.empty() ? "" : " × ") + text(sizes[axis]);
    }
    return joined;
}

}  // namespace flatconv

#endif
