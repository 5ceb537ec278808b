// A residual of halves that is added to floats: what sums and such a residual become, and the plan that adds it to a y
// of floats, after the plan of all else.
#ifndef FLATCONV_CONV_ADDED_HALVES_HPP
#define FLATCONV_CONV_ADDED_HALVES_HPP

#include <algorithm>

#include "conv/activation_steps.hpp"
#include "conv/algorithm.hpp"

namespace flatconv {

template <typename T>
Epilogue<T> with_activation(const ActivationSteps<T>& activation, Epilogue<T> epilogue) {
    epilogue.clamps = activation.clamps;
    epilogue.low = activation.low;
    epilogue.high = activation.high;
    epilogue.curve = activation.curve;
    epilogue.slope = activation.slope;
    return epilogue;
}

inline constexpr std::int64_t most_added = 256;  // of the residual at a time

/// Adds a line of halves, `step` bytes apart, to sums that have their bias, and applies the activation.
template <typename T>
void add_halves(const Kernels<T>& kernels, const HalfKernels<T>& half, const ActivationSteps<T>& activation,
                const std::byte* line, std::int64_t step, std::int64_t count, T* sums) {
    T added[most_added];
    for (std::int64_t i = 0; i < count; i += most_added) {
        const std::int64_t some = std::min(most_added, count - i);
        half.widen({line + i * step, 0, std::ptrdiff_t(step), 1, some, added, 0});
        // What is added first to every sum of a row is called a bias.
        const Epilogue<T> rest = with_activation(activation, {added, nullptr, 0, false, 0, 0});
        kernels.finish_rows({sums + i, 0, 1, some, sums + i, 0, &rest});
    }
}

/// The sizes of y.
struct OutputSizes {
    std::int64_t batch, channels;
    Extent spatial;
};

/// `sums` is a plan of the request without residual and activation.
std::unique_ptr<ConvPlan> plan_added_halves(const PlanRequest& request, const OutputSizes& y,
                                            std::unique_ptr<ConvPlan> sums);

}  // namespace flatconv

#endif
