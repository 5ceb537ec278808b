// How a plan is made to fit a limit on its workspace: with fewer threads at a time first, then with smaller bands.
#ifndef FLATCONV_CONV_LIMITED_PLAN_HPP
#define FLATCONV_CONV_LIMITED_PLAN_HPP

#include <algorithm>
#include <limits>
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

/// A limit on workspaces. Of those that it was asked for, it remembers the least: of refused ones, what would have
/// done.
class WorkspaceLimit {
  public:
    explicit WorkspaceLimit(std::size_t bytes) noexcept : bytes_(bytes) {}

    bool allows(std::size_t needed) noexcept {
        least_ = std::min(least_, needed);
        return needed <= bytes_;
    }

    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t least() const noexcept { return least_; }

    Status too_small(const char* what) const {
        return {StatusCode::out_of_memory, "workspace_limit of " + std::to_string(bytes_) +
                                               " bytes is too small: this " + what + " needs " +
                                               std::to_string(least_)};
    }

  private:
    std::size_t bytes_;
    std::size_t least_ = std::numeric_limits<std::size_t>::max();
};

/// What a call needs whose plans run one after the other, each within the limit: as much as the one that needs most.
class SharedWorkspace {
  public:
    explicit SharedWorkspace(const WorkspaceLimit& limit) noexcept : limit_(limit) {}

    /// Plans one of them, by `plan(limit)`, which returns whether it found a plan. False where the call cannot be
    /// planned any more, nor tell of less than was tried before.
    template <typename Plan>
    bool include(const Plan& plan) {
        WorkspaceLimit own(limit_.bytes());
        if (!plan(own)) needed_ = std::max(needed_, own.least());
        return !refused() || needed_ < limit_.least();
    }

    /// What the refused ones need; 0 where all were planned.
    std::size_t needed() const noexcept { return needed_; }
    bool refused() const noexcept { return needed_ > 0; }

  private:
    const WorkspaceLimit& limit_;
    std::size_t needed_ = 0;
};

/// The first plan of `make(request)` within the limit, with what the request reserves.
template <typename Make>
Status plan_within(PlanRequest request, std::size_t workspace_limit, const char* what, const Make& make,
                   std::unique_ptr<ConvPlan>& chosen) {
    WorkspaceLimit limit(workspace_limit);
    do {
        chosen = make(request);
        if (limit.allows(chosen->workspace_bytes() + request.reserved_bytes)) return {};
    } while (shrink(request));
    return limit.too_small(what);
}

/// The plan of the algorithm that `wanted` names, or the cheapest; false where the limit allows none.
bool choose_within(PlanRequest request, Algorithm wanted, WorkspaceLimit& limit, std::unique_ptr<ConvPlan>& chosen);

}  // namespace flatconv

#endif
