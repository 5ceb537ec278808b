// How a plan is made to fit a limit on its workspace: with fewer threads at a time first, then with smaller bands.
#ifndef FLATCONV_CONV_LIMITED_PLAN_HPP
#define FLATCONV_CONV_LIMITED_PLAN_HPP

#include <string>

#include "conv/algorithm.hpp"

namespace flatconv {

/// Smaller bands than this are not tried.
inline constexpr std::int64_t least_band_bytes = 1024;

/// Makes the request one for less workspace; false where it asks for the least already.
inline bool shrink(PlanRequest& request) {
    if (request.participants > 1) {
        request.participants /= 2;
    } else if (request.band_bytes > least_band_bytes) {
        request.band_bytes /= 2;
    } else {
        return false;
    }
    return true;
}

inline Status too_small(std::size_t workspace_limit, const char* what, std::size_t needed) {
    return {StatusCode::out_of_memory, "workspace_limit of " + std::to_string(workspace_limit) +
                                           " bytes is too small: this " + what + " needs " + std::to_string(needed)};
}

/// The first plan of `make(request)` within the limit, with what the request reserves.
template <typename Make>
Status plan_within(PlanRequest request, std::size_t workspace_limit, const char* what, const Make& make,
                   std::unique_ptr<ConvPlan>& chosen) {
    do {
        chosen = make(request);
        if (chosen->workspace_bytes() + request.reserved_bytes <= workspace_limit) return {};
    } while (shrink(request));
    return too_small(workspace_limit, what, chosen->workspace_bytes() + request.reserved_bytes);
}

}  // namespace flatconv

#endif
