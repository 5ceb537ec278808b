// Plans every algorithm that may run, and chooses the cheapest.
#include <string>

#include "conv/algorithm.hpp"

namespace flatconv {

namespace {

/// Fastest first. Every shape is supported by some algorithm, the reference by all.
constexpr const ConvAlgorithm* algorithms[] = {&im2col_algorithm, &reference_algorithm};

}  // namespace

Status choose(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
              std::unique_ptr<ConvPlan>& chosen) {
    const ConvAlgorithm* supported = nullptr;
    std::size_t least_workspace = std::numeric_limits<std::size_t>::max();
    for (const ConvAlgorithm* algorithm : algorithms) {
        if (wanted != Algorithm::automatic && wanted != algorithm->id) continue;
        if (!algorithm->supports(request.shape)) continue;
        // The reference needs no memory, but as an answer to a tight limit it would be a trap: 1000 times slower.
        if (wanted == Algorithm::automatic && supported && algorithm == &reference_algorithm) continue;
        supported = algorithm;
        std::unique_ptr<ConvPlan> plan = algorithm->plan(request);
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
