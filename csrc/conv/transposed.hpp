// The transpose of a convolution: transposed convolutions and the gradient of the input are this one thing.
//
// `request.shape` is that of the convolution; the transpose reads its `output` and writes its `input`. So of the arrays
// x is (batch, groups · shape.out_channels, shape.output...), y is (batch, groups · shape.in_channels, shape.input...),
// the bias has an element for each channel of y, and the weights are the convolution's.
#ifndef FLATCONV_CONV_TRANSPOSED_HPP
#define FLATCONV_CONV_TRANSPOSED_HPP

#include "conv/limited_plan.hpp"

namespace flatconv {

/// The definition for padding with zeros: plain loops.
std::unique_ptr<ConvPlan> plan_transposed_reference(const PlanRequest& request);

/// All phases together, with lanes across channels; null where they do not suit. The request's shape is transposed(),
/// and the strides of the weights are in the order of other convolutions: (out, in, kernel...).
std::unique_ptr<ConvPlan> plan_all_phases(const PlanRequest& request);

/// The same with lanes across pixels, whose phases are interleaved on their way to y.
std::unique_ptr<ConvPlan> plan_interleaved_phases(const PlanRequest& request);

/// The same of channels each for itself, read where they lie.
std::unique_ptr<ConvPlan> plan_transposed_images(const PlanRequest& request);

/// The transpose for padding with zeros: the definition, or phase by phase with the algorithms of choose(); false where
/// the limit allows none.
bool plan_zero_padded(const PlanRequest& request, Algorithm wanted, WorkspaceLimit& limit,
                      std::unique_ptr<ConvPlan>& chosen);

/// The transpose in any padding mode; others than zeros know no bias.
Status plan_transposed(PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                       std::unique_ptr<ConvPlan>& chosen);

/// What plan_transposed decides for such a request, in words, and what each algorithm would come to if it were named.
Status explain_transposed(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit, std::string& text);

}  // namespace flatconv

#endif
