// The words that messages share.
#ifndef FLATCONV_PROBLEM_MESSAGES_HPP
#define FLATCONV_PROBLEM_MESSAGES_HPP

#include <flatconv/flatconv.hpp>

#include <string>
#include <utility>

namespace flatconv {

inline constexpr const char* axis_names[max_spatial_rank] = {"depth", "height", "width"};

// Cold, so that what leads here, the making of the message, is kept small and out of the way of calls that are right.
[[gnu::cold]] inline Status invalid(std::string message) { return {StatusCode::invalid_argument, std::move(message)}; }
[[gnu::cold]] inline Status overflow(std::string message) { return {StatusCode::size_overflow, std::move(message)}; }

[[gnu::cold]] inline std::string text(std::int64_t value) { return std::to_string(value); }

/// "1 band", "2 bands".
[[gnu::cold]] inline std::string counted(std::int64_t count, const char* what) {
    return text(count) + " " + what + (count == 1 ? "" : "s");
}

/// The sizes of a problem's own axes, "8 × 8".
[[gnu::cold]] inline std::string by_axis(const Extent& sizes, int rank) {
    std::string joined;
    for (int axis = max_spatial_rank - rank; axis < max_spatial_rank; ++axis) {
        joined += (joined.empty() ? "" : " × ") + text(sizes[axis]);
    }
    return joined;
}

}  // namespace flatconv

#endif
