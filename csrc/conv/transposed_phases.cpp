// The arithmetic of phases, axis by axis.
#include "conv/transposed_phases.hpp"

#include <algorithm>
#include <numeric>

#include "base/checked.hpp"

namespace flatconv {

namespace {

/// Taps this far apart belong to the same phase.
std::int64_t step_of(const ConvShape& shape, std::size_t axis) {
    return shape.stride[axis] / std::gcd(shape.stride[axis], shape.dilation[axis]);
}

}  // namespace

ConvShape transposed(ConvShape shape) {
    std::swap(shape.in_channels, shape.out_channels);
    std::swap(shape.input, shape.output);
    shape.mirrored = !shape.mirrored;
    shape.pixels = shape.output[0] * shape.output[1] * shape.output[2];
    shape.depth = shape.in_channels * shape.taps;
    return shape;
}

std::int64_t phases_with_taps(const ConvShape& shape, std::size_t axis) noexcept {
    return std::min(step_of(shape, axis), shape.kernel[axis]);
}

AxisPhase axis_phase(const ConvShape& shape, std::size_t axis, std::int64_t index) noexcept {
    const std::int64_t stride = shape.stride[axis], step = step_of(shape, axis);
    AxisPhase phase{};
    phase.first_tap = index;
    phase.tap_step = step;
    phase.taps = ceil_div(shape.kernel[axis] - index, step);
    phase.dilation = shape.dilation[axis] / std::gcd(stride, shape.dilation[axis]);
    // The first tap stamps the outputs first + i · stride, for the pixels i of x, and of those that lie in the output
    // the first is the phase's own first.
    const std::int64_t first = index * shape.dilation[axis] - shape.pad_before[axis];
    const std::int64_t residue = first % stride;
    phase.first_output = residue < 0 ? residue + stride : residue;
    const std::int64_t reach = shape.input[axis] - phase.first_output;
    phase.outputs = reach > 0 ? ceil_div(reach, stride) : 0;
    const std::int64_t pixel = -(first / stride - (residue < 0));  // that it reads there
    phase.pad_before = (phase.taps - 1) * phase.dilation - pixel;
    return phase;
}

ConvShape Phase::shape_of(const ConvShape& shape) const {
    ConvShape part = shape;
    std::swap(part.in_channels, part.out_channels);
    part.input = shape.output;
    part.stride = {1, 1, 1};
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        part.kernel[axis] = axes[axis].taps;
        part.output[axis] = axes[axis].outputs;
        part.dilation[axis] = axes[axis].dilation;
        part.pad_before[axis] = axes[axis].pad_before;
    }
    part.padding_mode = PaddingMode::zeros;
    part.mirrored = true;
    part.taps = taps();
    part.pixels = pixels();
    part.depth = part.in_channels * part.taps;
    return part;
}

ConstArray weights_of(const Phase& phase, ConstArray all) {
    std::int64_t first = 0;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        const AxisPhase& along = phase.axes[axis];
        std::int64_t& stride = all.byte_strides[axis + 2];
        first += along.first_tap * stride;
        // A stride that leads to no second tap may be of any size.
        if (along.taps > 1) stride *= along.tap_step;
    }
    all.data = static_cast<const std::byte*>(all.data) + first;
    return all;
}

ConvShape pixels_as_they_are(ConvShape shape) {
    shape.kernel = shape.stride = shape.dilation = {1, 1, 1};
    shape.pad_before = {0, 0, 0};
    shape.mirrored = false;
    return shape;
}

bool phases_cover_output(const ConvShape& shape) noexcept {
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        std::int64_t covered = 0;
        for (std::int64_t i = 0; i < phases_with_taps(shape, axis); ++i) covered += axis_phase(shape, axis, i).outputs;
        if (covered < shape.input[axis]) return false;
    }
    return true;
}

}  // namespace flatconv
