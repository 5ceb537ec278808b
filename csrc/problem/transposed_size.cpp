// From a transposed problem to the convolution that it transposes, axis by axis.
#include "problem/transposed_size.hpp"

#include <algorithm>
#include <string>

#include "base/checked.hpp"
#include "problem/conv_shape.hpp"
#include "problem/messages.hpp"
#include "problem/padding.hpp"

namespace flatconv {

namespace {

std::string axis_of(std::size_t axis) { return std::string(" along the ") + axis_names[axis]; }

Status check_output_padding(const ConvProblem& problem, std::size_t axis) {
    const std::int64_t extra = problem.output_padding[axis];
    if (extra > 0 && (problem.padding == PaddingRule::same || problem.padding == PaddingRule::same_lower)) {
        return invalid("output_padding must be 0 where the padding rule sets the size of the output, got " +
                       text(extra) + axis_of(axis));
    }
    const std::int64_t limit = std::max(problem.stride[axis], problem.dilation[axis]);
    if (extra < limit) return {};
    return invalid("output_padding must be less than the stride or the dilation, so at most " + text(limit - 1) +
                   axis_of(axis) + ", got " + text(extra));
}

/// The message for a size below 1: the formula, and the way out.
Status vanishes(const ConvProblem& problem, std::size_t axis, PadAmounts pad, std::int64_t extent, std::int64_t size) {
    return invalid(std::string("the output would have ") + axis_names[axis] + " (" + text(problem.input[axis]) +
                   " − 1) · " + text(problem.stride[axis]) + " + " + text(extent) + " − " + text(pad.before) + " − " +
                   text(pad.after) + " + " + text(problem.output_padding[axis]) + " = " +
                   (size < 0 ? "−" + text(size).substr(1) : text(size)) +
                   ". Padding is cut off the output of a transposed convolution: use less of it.");
}

}  // namespace

Status transposed_from(const ConvProblem& problem, ConvProblem& forward) {
    if (problem.padding_mode != PaddingMode::zeros) {
        return invalid("padding_mode must be zeros for a transposed convolution");
    }
    forward = problem;
    std::swap(forward.in_channels, forward.out_channels);
    forward.padding = PaddingRule::amounts;
    for (std::size_t axis = std::size_t(max_spatial_rank - problem.spatial_rank); axis < max_spatial_rank; ++axis) {
        const std::int64_t size = problem.input[axis], stride = problem.stride[axis];
        if (size == 0) {
            return invalid(std::string("x has ") + axis_names[axis] +
                           " 0; a transposed convolution needs at least 1 element along each axis");
        }
        if (Status status = check_output_padding(problem, axis); !status) return status;
        const Checked extent = Checked(problem.kernel[axis] - 1) * problem.dilation[axis] + 1;
        if (!extent.at_most(max_kernel_extent)) continue;  // the convolution's own checks say so
        const Checked whole = Checked(size - 1) * stride + extent;
        PadAmounts pad{problem.pad_before[axis], problem.pad_after[axis]};
        if (problem.padding != PaddingRule::amounts) {
            const Checked scaled = Checked(size) * stride;
            pad = resolve_padding(problem.padding, scaled.valid() ? scaled.value() : size, extent.value(), stride);
        }
        Checked output = whole - pad.before - pad.after + problem.output_padding[axis];
        // An image that `same` makes this small may be as large as that; the kernel need not reach its end.
        if (problem.padding == PaddingRule::same || problem.padding == PaddingRule::same_lower) {
            output = Checked(size) * stride;
        }
        if (!output.valid()) {
            return overflow(std::string("the output's ") + axis_names[axis] + ", from x of " + text(size) +
                            " and stride " + text(stride) + ", does not fit 63 bits");
        }
        if (output.value() < 1) return vanishes(problem, axis, pad, extent.value(), output.value());
        forward.input[axis] = output.value();
        forward.pad_before[axis] = pad.before;
        forward.pad_after[axis] = pad.after;
    }
    return {};
}

}  // namespace flatconv
