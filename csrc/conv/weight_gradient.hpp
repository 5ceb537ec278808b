// The gradient of a convolution's weights; asked for by conv/call.cpp.
//
// The gradient of weight (o, c, k) is the sum, over all images and output positions, of dy at (o, position) times what
// the kernel element k meets there in channel c: a product of two matrices, dy · regions, whose depth is the positions
// of all images, in order.
//
// The plans are ConvPlans that read x and, in the place of the weights, dy; what they write as y is the gradient.
#ifndef FLATCONV_CONV_WEIGHT_GRADIENT_HPP
#define FLATCONV_CONV_WEIGHT_GRADIENT_HPP

#include "conv/algorithm.hpp"

namespace flatconv {

/// The definition: plain loops.
std::unique_ptr<ConvPlan> plan_weight_gradient_reference(const PlanRequest& request);

/// The plan for `wanted`, within the limit. Every name but `reference` stands for the same: a blocked product of which
/// there are three forms.
Status plan_weight_gradient(PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                            std::unique_ptr<ConvPlan>& chosen);

}  // namespace flatconv

#endif
