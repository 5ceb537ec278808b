// Plans every algorithm that may run, and chooses the cheapest.
#include <algorithm>
#include <string>

#include "conv/algorithm.hpp"

namespace flatconv {

namespace {

struct Candidate {
    const ConvAlgorithm& algorithm;
    /// Whether the algorithm may be chosen, not only named: im2col does what implicit does and more, and the reference
    /// needs no memory, but as an answer to a tight limit it would be a trap, a thousand times slower.
    bool automatic;
};

constexpr Candidate candidates[] = {
    {implicit_algorithm, true},
    {im2col_algorithm, false},
    {reference_algorithm, false},
};

/// Smaller bands than this are not tried.
constexpr std::int64_t least_region_bytes = 1024;

/// The cheapest plan that fits the limit; `least_workspace` becomes the smallest that any needed.
std::unique_ptr<ConvPlan> cheapest(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
                                   std::size_t& least_workspace) {
    std::unique_ptr<ConvPlan> best;
    for (const auto& [algorithm, automatic] : candidates) {
        if (!(wanted == algorithm.id || (wanted == Algorithm::automatic && automatic))) continue;
        std::unique_ptr<ConvPlan> plan = algorithm.plan(request);
        least_workspace = std::min(least_workspace, plan->workspace_bytes());
        if (plan->workspace_bytes() > workspace_limit) continue;
        if (!best || plan->cost() < best->cost()) best = std::move(plan);
    }
    return best;
}

}  // namespace

Status choose(PlanRequest request, Algorithm wanted, std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen) {
    std::size_t least_workspace = std::numeric_limits<std::size_t>::max();
    for (;;) {
        chosen = cheapest(request, wanted, workspace_limit, least_workspace);
        if (chosen) return {};
        // A tight limit is met with fewer threads at a time first, then with smaller bands.
        if (request.participants > 1) {
            request.participants /= 2;
        } else if (request.region_bytes > least_region_bytes) {
            request.region_bytes /= 2;
        } else {
            break;
        }
    }
    return {StatusCode::out_of_memory, "workspace_limit of " + std::to_string(workspace_limit) +
                                           " bytes is too small: this convolution needs " +
                                           std::to_string(least_workspace)};
}

}  // namespace flatconv
