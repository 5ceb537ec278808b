// The gradient of the weights from a padded image; conv/weight_gradient.hpp says what it is.
#ifndef FLATCONV_CONV_PADDED_GRADIENT_HPP
#define FLATCONV_CONV_PADDED_GRADIENT_HPP

#include "conv/algorithm.hpp"

namespace flatconv {

/// Null where kernel elements share few pixels, or are so many that a part has no room for their sums, where groups
/// have few channels, and where the memory for bands is little.
std::unique_ptr<ConvPlan> plan_padded_gradient(const PlanRequest& request);

}  // namespace flatconv

#endif
