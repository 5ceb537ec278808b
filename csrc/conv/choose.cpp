// Plans every algorithm that may run, and chooses the cheapest.
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

}  // namespace

Status choose(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
              std::unique_ptr<ConvPlan>& chosen) {
    bool supported = false;
    std::size_t least_workspace = std::numeric_limits<std::size_t>::max();
    for (const auto& [algorithm, automatic] : candidates) {
        if (!(wanted == algorithm.id || (wanted == Algorithm::automatic && automatic))) continue;
        if (!algorithm.supports(request.shape)) continue;
        supported = true;
        std::unique_ptr<ConvPlan> plan = algorithm.plan(request);
        least_workspace = std::min(least_workspace, plan->workspace_bytes());
        if (plan->workspace_bytes() > workspace_limit) continue;
        if (!chosen || plan->cost() < chosen->cost()) chosen = std::move(plan);
    }
    if (chosen) return {};
    if (!supported) return {StatusCode::invalid_argument, "algorithm does not support this convolution"};
    return {StatusCode::out_of_memory, "workspace_limit of " + std::to_string(workspace_limit) +
                                           " bytes is too small: this convolution needs " +
                                           std::to_string(least_workspace)};
}

}  // namespace flatconv
