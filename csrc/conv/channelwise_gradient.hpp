// The gradient of the weights of many groups of one or a few channels; conv/weight_gradient.hpp says what it is.
#ifndef FLATCONV_CONV_CHANNELWISE_GRADIENT_HPP
#define FLATCONV_CONV_CHANNELWISE_GRADIENT_HPP

#include "conv/algorithm.hpp"

namespace flatconv {

/// Null where groups have more than a few input channels, or so many output channels that these fill vectors by
/// themselves.
std::unique_ptr<ConvPlan> plan_channelwise_gradient(const PlanRequest& request);

}  // namespace flatconv

#endif
