// Checks a problem in the order in which a caller would: values, channels, then sizes axis by axis.
#include "problem/conv_shape.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/checked.hpp"
#include "problem/messages.hpp"
#include "problem/padding.hpp"
#include "problem/transposed_size.hpp"

namespace flatconv {

namespace {

Status check_activation(const Activation& activation) {
    if (activation.kind < Activation::none || activation.kind > Activation::hardswish) {
        return invalid("activation is not one of Activation: " + text(std::int64_t(activation.kind)));
    }
    // Written so that a NaN fails.
    if (activation.kind == Activation::leaky_relu && !std::isfinite(activation.a)) {
        return invalid("activation leaky_relu: the slope must be finite, got " + std::to_string(activation.a));
    }
    if (activation.kind == Activation::clip && !(activation.a <= activation.b)) {
        return invalid("activation clip: the least must not be more than the most, got " +
                       std::to_string(activation.a) + " and " + std::to_string(activation.b));
    }
    return {};
}

Status check_values(const ConvProblem& problem) {
    if (problem.spatial_rank < 1 || problem.spatial_rank > max_spatial_rank) {
        return invalid("spatial_rank must be 1, 2 or 3, got " + text(problem.spatial_rank));
    }
    if (problem.dtype < DType::float32 || problem.dtype > DType::complex128) {
        return invalid("dtype is not one of DType: " + text(std::int64_t(problem.dtype)));
    }
    if (problem.padding < PaddingRule::amounts || problem.padding > PaddingRule::full) {
        return invalid("padding is not one of PaddingRule: " + text(std::int64_t(problem.padding)));
    }
    if (problem.padding_mode < PaddingMode::zeros || problem.padding_mode > PaddingMode::symmetric) {
        return invalid("padding_mode is not one of PaddingMode: " + text(std::int64_t(problem.padding_mode)));
    }
    if (Status status = check_activation(problem.activation); !status) return status;
    if (is_complex(problem.dtype) && problem.activation.kind != Activation::none) {
        return invalid("activation must be none where dtype is complex: complex numbers have no order");
    }
    if (problem.batch < 0) return invalid("batch must be at least 0, got " + text(problem.batch));
    if (problem.in_channels < 0) return invalid("in_channels must be at least 0, got " + text(problem.in_channels));
    if (problem.out_channels < 0) return invalid("out_channels must be at least 0, got " + text(problem.out_channels));
    if (problem.groups < 1) return invalid("groups must be at least 1, got " + text(problem.groups));
    struct Rule {
        const char* name;
        const Extent& values;
        std::int64_t least;
    };
    const bool amounts = problem.padding == PaddingRule::amounts;
    const Extent none{0, 0, 0};
    const Rule rules[] = {
        {"input", problem.input, 0},
        {"kernel", problem.kernel, 1},
        {"stride", problem.stride, 1},
        {"dilation", problem.dilation, 1},
        {"padding", amounts ? problem.pad_before : none, 0},
        {"padding", amounts ? problem.pad_after : none, 0},
        {"output_padding", problem.transposed ? problem.output_padding : none, 0},
    };
    const int first_axis = max_spatial_rank - problem.spatial_rank;
    for (const Rule& rule : rules) {
        for (int axis = first_axis; axis < max_spatial_rank; ++axis) {
            if (rule.values[axis] < rule.least) {
                return invalid(std::string(rule.name) + " must be at least " + text(rule.least) + " along the " +
                               axis_names[axis] + ", got " + text(rule.values[axis]));
            }
        }
    }
    return {};
}

Status check_groups(const ConvProblem& problem) {
    if (problem.in_channels % problem.groups != 0) {
        return invalid("x has " + text(problem.in_channels) + " channels, which groups=" + text(problem.groups) +
                       " does not divide");
    }
    if (problem.out_channels % problem.groups != 0 || (problem.groups > 1 && problem.out_channels < problem.groups)) {
        return invalid("weight has " + text(problem.out_channels) +
                       " output channels, which groups=" + text(problem.groups) + " does not divide into equal parts");
    }
    return {};
}

/// The message for a kernel that nowhere fits: both sizes, the formula along the axis that fails, and the way out.
Status does_not_fit(const ConvProblem& problem, const Extent& extent, const Extent& padded, int axis, PadAmounts pad) {
    const int rank = problem.spatial_rank;
    std::string kernel = by_axis(problem.kernel, rank);
    if (extent != problem.kernel) {
        Extent dilation = problem.dilation;
        const int first_axis = max_spatial_rank - rank;
        const bool same = std::all_of(dilation.begin() + first_axis, dilation.end(),
                                      [&](std::int64_t d) { return d == dilation[max_spatial_rank - 1]; });
        kernel += ", dilation " + (same ? text(dilation[max_spatial_rank - 1]) : by_axis(dilation, rank)) +
                  " → extent " + by_axis(extent, rank);
    }
    const std::int64_t span = padded[axis] - extent[axis];
    const std::int64_t stride = problem.stride[axis];
    const std::int64_t size = (span >= 0 ? span / stride : -ceil_div(-span, stride)) + 1;
    std::string message = "kernel (" + kernel + ") does not fit the padded input (" + by_axis(padded, rank) +
                          "): output " + axis_names[axis] + " = floor((" + text(problem.input[axis]) + " + " +
                          text(pad.before) + " + " + text(pad.after) + " − " + text(extent[axis]) + ") / " +
                          text(stride) + ") + 1 = " + text(size) + ".";
    const std::int64_t enough = ceil_div(extent[axis] - problem.input[axis], 2);
    if (problem.input[axis] == 0 && problem.padding != PaddingRule::amounts) {
        return invalid(message + " x has no elements along the " + axis_names[axis] + ".");
    }
    message += " Use padding ≥ " + text(enough) +
               (problem.dilation[axis] > 1 ? ", or a smaller dilation." : ", or a smaller kernel.");
    return invalid(std::move(message));
}

/// Pads and output size of every axis; the other fields of `shape` are not touched.
Status resolve_axes(const ConvProblem& problem, ConvShape& shape) {
    const int first_axis = max_spatial_rank - problem.spatial_rank;
    shape.input = shape.kernel = shape.output = shape.stride = shape.dilation = Extent{1, 1, 1};
    shape.pad_before = Extent{0, 0, 0};
    Extent extent{1, 1, 1};
    Extent padded{1, 1, 1};
    PadAmounts pads[max_spatial_rank] = {};
    for (int axis = first_axis; axis < max_spatial_rank; ++axis) {
        const std::int64_t size = problem.input[axis];
        const std::int64_t stride = problem.stride[axis];
        const Checked reach = Checked(problem.kernel[axis] - 1) * problem.dilation[axis] + 1;
        if (!reach.at_most(max_kernel_extent)) {
            return invalid("kernel of " + text(problem.kernel[axis]) + " with dilation " +
                           text(problem.dilation[axis]) + " spans more than 2³¹ − 1 elements along the " +
                           axis_names[axis] + ", the most that is supported");
        }
        extent[axis] = reach.value();
        pads[axis] = problem.padding == PaddingRule::amounts
                         ? PadAmounts{problem.pad_before[axis], problem.pad_after[axis]}
                         : resolve_padding(problem.padding, size, extent[axis], stride);
        const Checked total = Checked(size) + pads[axis].before + pads[axis].after;
        if (!total.valid()) {
            return overflow("padding (" + text(pads[axis].before) + ", " + text(pads[axis].after) + ") along the " +
                            axis_names[axis] + " makes the padded input larger than 2⁶³ − 1");
        }
        padded[axis] = total.value();
        shape.input[axis] = size;
        shape.kernel[axis] = problem.kernel[axis];
        shape.stride[axis] = stride;
        shape.dilation[axis] = problem.dilation[axis];
        shape.pad_before[axis] = pads[axis].before;
    }
    for (int axis = first_axis; axis < max_spatial_rank; ++axis) {
        if (padded[axis] < extent[axis]) return does_not_fit(problem, extent, padded, axis, pads[axis]);
        if (problem.input[axis] == 0 && problem.padding_mode != PaddingMode::zeros) {
            return invalid(std::string("x has ") + axis_names[axis] +
                           " 0, which leaves nothing for padding_mode to repeat. Use padding_mode \"zeros\".");
        }
        shape.output[axis] = (padded[axis] - extent[axis]) / shape.stride[axis] + 1;
        // Of a single position no step is taken; a stride beyond the image would only endanger later arithmetic.
        if (shape.output[axis] == 1) shape.stride[axis] = 1;
    }
    return {};
}

/// The products of sizes that later arithmetic relies on. Byte counts, because arrays are addressed in bytes; weights
/// count with every real product of their elements.
Status check_sizes(const ConvProblem& problem, std::int64_t bytes, ConvShape& shape) {
    const auto product = [](const Extent& sizes) { return Checked(sizes[0]) * sizes[1] * sizes[2]; };
    const Checked taps = product(shape.kernel);
    const Checked pixels = product(shape.output);
    const Checked depth = taps * shape.in_channels;
    const Checked x = product(shape.input) * problem.in_channels * std::max<std::int64_t>(problem.batch, 1) * bytes;
    const Checked weight = depth * problem.out_channels * bytes;
    const Checked y = pixels * problem.out_channels * std::max<std::int64_t>(problem.batch, 1) * bytes;
    const int rank = problem.spatial_rank;
    const char* const x_name = problem.transposed ? "the output" : "x";
    const char* const y_name = problem.transposed ? "x" : "the output";
    if (!x.valid())
        return overflow(std::string(x_name) + " of " + text(problem.batch) + " × " + text(problem.in_channels) + " × " +
                        by_axis(shape.input, rank) + " elements has more than 2⁶³ − 1 bytes");
    if (!depth.valid() || !weight.valid()) {
        return overflow("weight of " + text(problem.out_channels) + " × " + text(shape.in_channels / shape.parts) +
                        " × " + by_axis(shape.kernel, rank) + " elements has more than 2⁶³ − 1 bytes");
    }
    if (!pixels.valid() || !y.valid()) {
        return overflow(std::string(y_name) + " of " + text(problem.batch) + " × " + text(problem.out_channels) +
                        " × " + by_axis(shape.output, rank) + " elements has more than 2⁶³ − 1 bytes");
    }
    shape.taps = taps.value();
    shape.pixels = pixels.value();
    shape.depth = depth.value();
    return {};
}

/// make_shape for elements of `bytes` bytes in so many parts, which need not be those of the problem's dtype; not
/// transposed.
Status describe(const ConvProblem& problem, std::int64_t bytes, std::int64_t parts, ConvShape& shape) {
    if (Status status = resolve_axes(problem, shape); !status) return status;
    const std::int64_t most = std::numeric_limits<std::int64_t>::max() / parts;
    if (problem.in_channels > most || problem.out_channels > most) {
        return overflow("channels of complex numbers count twice, and " + text(most) +
                        " are the most that is supported");
    }
    shape.batch = problem.batch;
    shape.groups = problem.groups;
    shape.in_channels = parts * (problem.in_channels / problem.groups);
    shape.out_channels = parts * (problem.out_channels / problem.groups);
    shape.parts = parts;
    shape.padding_mode = problem.padding_mode;
    return check_sizes(problem, bytes, shape);
}

/// A size of x along an axis from which there is an output. Where an amount is no size at all, or not allowed, any: the
/// error is about that.
std::int64_t enough_input(const ConvProblem& problem, std::size_t axis) {
    const Checked reach = Checked(problem.kernel[axis] - 1) * problem.dilation[axis];
    if (!problem.transposed) {
        // Not more than that: a larger image may not be addressable.
        const Checked least = problem.padding == PaddingRule::valid ? reach + 1
                              : problem.padding == PaddingRule::amounts
                                  ? reach + 1 - problem.pad_before[axis] - problem.pad_after[axis]
                                  : Checked(1);
        return least.at_most(max_kernel_extent) ? std::max<std::int64_t>(1, least.value()) : 1;
    }
    // The last pixel's stamp lies behind all that is cut off.
    const Checked cut = problem.padding == PaddingRule::amounts
                            ? Checked(problem.pad_before[axis]) + problem.pad_after[axis]
                        : problem.padding == PaddingRule::full ? reach + reach
                                                               : Checked(0);
    const std::int64_t stride = problem.stride[axis];
    return stride >= 1 && cut.valid() && cut.value() > 0 ? ceil_div(cut.value(), stride) + 1 : 1;
}

}  // namespace

Status make_shape(const ConvProblem& problem, ConvShape& shape) {
    if (Status status = check_values(problem); !status) return status;
    if (Status status = check_groups(problem); !status) return status;
    const std::int64_t bytes = element_bytes(problem.dtype), parts = is_complex(problem.dtype) ? 2 : 1;
    if (!problem.transposed) return describe(problem, bytes, parts, shape);
    ConvProblem forward;
    if (Status status = transposed_from(problem, forward); !status) return status;
    if (Status status = describe(forward, bytes, parts, shape); !status) return status;
    // With an output_padding of a stride or more, the convolution has outputs that x has not.
    for (int axis = max_spatial_rank - problem.spatial_rank; axis < max_spatial_rank; ++axis) {
        shape.output[axis] = problem.input[axis];
    }
    shape.pixels = shape.output[0] * shape.output[1] * shape.output[2];
    return {};
}

Status make_adjoint_shape(const ConvProblem& problem, ConvShape& shape) {
    if (Status status = make_shape(problem, shape); !status) return status;
    for (int axis = max_spatial_rank - problem.spatial_rank; axis < max_spatial_rank; ++axis) {
        shape.stride[axis] = problem.stride[axis];
    }
    return {};
}

Status make_layer_shape(const ConvProblem& problem, ConvShape& shape) {
    ConvProblem smallest = problem;
    smallest.batch = 1;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) smallest.input[axis] = enough_input(problem, axis);
    return problem.transposed ? make_adjoint_shape(smallest, shape) : make_shape(smallest, shape);
}

Status make_region_shape(const ConvProblem& problem, std::int64_t bytes_per_element, ConvShape& shape) {
    if (problem.transposed) return invalid("im2col and col2im have no transposed form: they are transposes themselves");
    ConvProblem regions = problem;
    regions.out_channels = 1;
    regions.groups = 1;
    if (Status status = check_values(regions); !status) return status;
    if (Status status = describe(regions, bytes_per_element, 1, shape); !status) return status;
    const Checked matrix = Checked(shape.batch) * shape.pixels * shape.depth * bytes_per_element;
    if (!matrix.valid()) {
        return overflow("the region matrix, " + text(shape.batch) + " × " + text(shape.pixels) + " × " +
                        text(shape.depth) + " elements, has more than 2⁶³ − 1 bytes");
    }
    return {};
}

ByteStrides dense_strides(std::int64_t channels, const Extent& spatial, std::int64_t bytes) noexcept {
    ByteStrides strides{};
    std::int64_t stride = bytes;
    for (int axis = max_spatial_rank - 1; axis >= 0; --axis) {
        strides[axis + 2] = stride;
        stride *= spatial[axis];
    }
    strides[1] = stride;
    strides[0] = stride * channels;
    return strides;
}

bool is_dense(const Extent& spatial, const ByteStrides& strides, std::int64_t bytes) noexcept {
    std::int64_t dense = bytes;
    for (int axis = max_spatial_rank - 1; axis >= 0; --axis) {
        if (spatial[axis] > 1 && strides[axis + 2] != dense) return false;
        dense *= spatial[axis];
    }
    return true;
}

}  // namespace flatconv
