// Plans every algorithm that may run, and chooses the cheapest.
#include <algorithm>
#include <cstdio>
#include <string>

#include "conv/algorithm.hpp"
#include "conv/limited_plan.hpp"
#include "conv/transposed.hpp"
#include "problem/messages.hpp"

namespace flatconv {

namespace {

/// For which shapes an algorithm may be chosen, not only named.
enum class Candidacy {
    always,
    several_pixels,  // a single one is a single lane
    /// im2col does what implicit does and more, and the reference needs no memory, but as an answer to a tight limit it
    /// would be a trap, a thousand times slower.
    never,
};

struct Candidate {
    const ConvAlgorithm& algorithm;
    Candidacy candidacy;

    bool automatic(const ConvShape& shape) const {
        if (candidacy == Candidacy::several_pixels) return shape.pixels > 1 || shape.taps > 1;
        return candidacy == Candidacy::always;
    }
};

constexpr Candidate candidates[] = {
    {channels_algorithm, Candidacy::always},         {direct_algorithm, Candidacy::several_pixels},
    {implicit_algorithm, Candidacy::several_pixels}, {im2col_algorithm, Candidacy::never},
    {reference_algorithm, Candidacy::never},
};

struct Choice {
    const ConvAlgorithm* algorithm = nullptr;
    std::unique_ptr<ConvPlan> plan;
};

/// The cheapest plan that fits the limit.
Choice cheapest(const PlanRequest& request, Algorithm wanted, WorkspaceLimit& limit) {
    Choice best;
    for (const Candidate& candidate : candidates) {
        const ConvAlgorithm& algorithm = candidate.algorithm;
        const bool automatic = wanted == Algorithm::automatic && candidate.automatic(request.shape);
        if (wanted != algorithm.id && !automatic) continue;
        std::unique_ptr<ConvPlan> plan = algorithm.plan(request);
        if (!plan) continue;
        if (!limit.allows(plan->workspace_bytes() + request.reserved_bytes)) continue;
        if (!best.plan || plan->cycles() < best.plan->cycles()) best = {&algorithm, std::move(plan)};
    }
    return best;
}

/// Chooses, and tells whether the limit leaves a choice; `request` becomes the one that it leaves.
bool shrink_to(WorkspaceLimit& limit, PlanRequest& request, Algorithm wanted, Choice& choice) {
    do {
        choice = cheapest(request, wanted, limit);
        if (choice.plan) return true;
    } while (shrink(request));
    return false;
}

/// Not in seconds: CPUs differ in how many cycles they have in one, and in how many multiply-adds they do in a cycle.
std::string in_multiply_adds(double cycles) {
    char text[64];
    std::snprintf(text, sizeof text, "%.3g vector multiply-adds", cycles);
    return text;
}

}  // namespace

Status choose(PlanRequest request, Algorithm wanted, std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen) {
    WorkspaceLimit limit(workspace_limit);
    return choose_within(request, wanted, limit, chosen) ? Status{} : limit.too_small("convolution");
}

bool choose_within(PlanRequest request, Algorithm wanted, WorkspaceLimit& limit, std::unique_ptr<ConvPlan>& chosen) {
    Choice choice;
    const bool found = shrink_to(limit, request, wanted, choice);
    chosen = std::move(choice.plan);
    return found;
}

namespace {

std::string head_line(const PlanRequest& request) {
    return "isa " + std::string(request.kernels->name) + ", " + counted(request.participants, "thread") + "\n";
}

std::string in_words(const ConvPlan& plan) {
    return plan.describe() + "; expected cost " + in_multiply_adds(plan.cycles()) + ", workspace " +
           std::to_string(plan.workspace_bytes()) + " bytes";
}

}  // namespace

Status explain_choice(const PlanRequest& called, Algorithm wanted, std::size_t workspace_limit, std::string& text) {
    PlanRequest request = called;
    Choice choice;
    WorkspaceLimit limit(workspace_limit);
    if (!shrink_to(limit, request, wanted, choice)) return limit.too_small("convolution");
    std::string taken, others;
    for (const Candidate& candidate : candidates) {
        const ConvAlgorithm& algorithm = candidate.algorithm;
        const std::unique_ptr<ConvPlan> plan = algorithm.plan(request);
        std::string line = std::string(algorithm.name) + ": ";
        if (plan) line += in_words(*plan);
        if (&algorithm == choice.algorithm) {
            taken = line + "\n";
            continue;
        }
        line += !plan                                       ? "does not apply to this shape"
                : wanted != Algorithm::automatic            ? "; another is named"
                : !candidate.automatic(request.shape)       ? "; only when named"
                : plan->workspace_bytes() > workspace_limit ? "; does not fit workspace_limit"
                                                            : "; slower";
        others += "  not " + line + "\n";
    }
    text = head_line(request) + taken + others;
    return {};
}

Status explain_transposed(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
                          std::string& text) {
    std::unique_ptr<ConvPlan> taken;
    if (Status status = plan_transposed(request, wanted, workspace_limit, taken); !status) return status;
    std::string others;
    const char* name = "the cheapest";
    const std::string way = taken->describe();
    for (const auto& [algorithm, candidacy] : candidates) {
        std::unique_ptr<ConvPlan> plan;
        const bool fits = bool(plan_transposed(request, algorithm.id, workspace_limit, plan));
        if (wanted == algorithm.id || (wanted == Algorithm::automatic && fits && plan->describe() == way)) {
            name = algorithm.name;
            continue;
        }
        others += "  not " + std::string(algorithm.name) + " throughout: " +
                  (!fits                              ? "does not fit workspace_limit"
                   : wanted != Algorithm::automatic   ? in_words(*plan) + "; another is named"
                   : candidacy == Candidacy::never    ? in_words(*plan) + "; only when named"
                   : plan->cycles() > taken->cycles() ? in_words(*plan) + "; slower"
                                                      : in_words(*plan) + "; no faster") +
                  "\n";
    }
    text = head_line(request) + name + ": " + in_words(*taken) + "\n" + others;
    return {};
}

}  // namespace flatconv
