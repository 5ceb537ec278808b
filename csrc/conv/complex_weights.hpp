// Complex numbers as pairs of real ones: plans for tasks whose weights are complex, asked for by conv/call.cpp.
//
// A complex channel of x or y is two real ones, its real and its imaginary part, which lie where they lie. Between
// them, a complex weight w is the matrix ((re w, −im w), (im w, re w)), so that a complex convolution is a real one of
// twice as many channels: four real products for each complex one. Only the weights have to be written down anew, if
// they are not packed into panels, which pack_panel does from complex ones as well.
//
// The transpose of that real convolution multiplies with the conjugate of w. So it is the gradient of the input; and a
// transposed convolution, which multiplies with w itself, is the transpose of the convolution with its conjugate:
// `PlanRequest::conjugates`.
#ifndef FLATCONV_CONV_COMPLEX_WEIGHTS_HPP
#define FLATCONV_CONV_COMPLEX_WEIGHTS_HPP

#include "conv/algorithm.hpp"

namespace flatconv {

/// The sizes of the caller's weights, in complex numbers.
inline WeightSizes complex_weight_sizes(const ConvShape& shape) noexcept {
    return {shape.groups, shape.out_channels / shape.parts, shape.in_channels / shape.parts, shape.kernel};
}

/// What plans a task of real numbers.
using PlanTask = Status (*)(PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                            std::unique_ptr<ConvPlan>& chosen);

/// A task that reads complex weights: it brings them into real rows, if the planned one needs those.
Status plan_complex_weights(PlanTask plan_task, PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                            std::unique_ptr<ConvPlan>& chosen);

/// The task that writes the gradient of complex weights: it adds up that of the real ones, in pairs.
Status plan_complex_weight_gradient(PlanTask plan_task, PlanRequest request, Algorithm wanted,
                                    std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen);

}  // namespace flatconv

#endif
