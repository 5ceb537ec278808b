// Finds the axis of a kernel that is a line, and folds the others.
#include "conv/line_shape.hpp"

namespace flatconv {

namespace {

/// The axis of the kernel, or max_spatial_rank.
std::size_t line_axis(const ConvShape& shape) noexcept {
    const auto is_along = [&](std::size_t along) {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const bool as_it_is =
                shape.kernel[axis] == 1 && shape.pad_before[axis] == 0 && shape.input[axis] == shape.output[axis];
            if (shape.stride[axis] != 1 || (axis != along && !as_it_is)) return false;
        }
        return true;
    };
    std::size_t axis = 0;
    while (axis < max_spatial_rank && !is_along(axis)) ++axis;
    return axis;
}

}  // namespace

bool is_line(const ConvShape& shape) noexcept {
    // So that no distance overflows.
    const bool fits = shape.pixels <= max_kernel_extent;
    return shape.in_channels == 1 && shape.out_channels == 1 && shape.padding_mode == PaddingMode::zeros && fits &&
           line_axis(shape) < max_spatial_rank;
}

ConvShape in_lines(ConvShape shape) noexcept {
    const std::size_t along = line_axis(shape);
    std::int64_t lines = 1, between = 1;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        if (axis != along) (axis < along ? lines : between) *= shape.input[axis];
    }
    shape.input = {1, lines, shape.input[along] * between};
    shape.output = {1, lines, shape.output[along] * between};
    shape.kernel = {1, 1, shape.kernel[along]};
    shape.dilation = {1, 1, shape.dilation[along] * between};
    shape.pad_before = {0, 0, shape.pad_before[along] * between};
    return shape;
}

}  // namespace flatconv
