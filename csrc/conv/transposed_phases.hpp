// A transposed convolution taken apart into ordinary ones, one for each phase of its output; called by
// conv/transposed.cpp.
//
// The output o of an axis gathers the taps k for which o + pad_before − k · dilation is a multiple of the stride, i ·
// stride: i is the pixel of x that the tap reads. Outputs that are equal modulo the stride are one phase: they gather
// the same taps, each from the pixel after its neighbour's.
//
//     stride 2, 4 taps, pad 1:    o = 0 2 4 …  taps 1 3,  from the pixels (o + 1 − k) / 2 = 0 −1 | 1 0 | 2 1 | …
//                                 o = 1 3 5 …  taps 0 2,  from the pixels                   1 0  | 2 1 | 3 2 | …
//
// So a phase is a convolution of x with stride 1 and with each stride/gcd(stride, dilation)-th tap, mirrored: the
// pixel descends as the tap ascends.
#ifndef FLATCONV_CONV_TRANSPOSED_PHASES_HPP
#define FLATCONV_CONV_TRANSPOSED_PHASES_HPP

#include "problem/conv_shape.hpp"

namespace flatconv {

/// One axis of a phase.
struct AxisPhase {
    std::int64_t first_tap;
    std::int64_t tap_step;
    std::int64_t taps;
    std::int64_t dilation;  // in pixels of x
    std::int64_t pad_before;
    std::int64_t first_output;
    std::int64_t outputs;  // `stride` apart; may be none
};

/// The shape with inputs and outputs in each other's place: of a transpose, it names what is read the input, what is
/// written the output; and back.
ConvShape transposed(ConvShape shape);

/// How many phases of an axis have taps; outputs of any other phase are sums of nothing.
std::int64_t phases_with_taps(const ConvShape& shape, std::size_t axis) noexcept;

/// The phases that have taps, in the order of their first ones.
AxisPhase axis_phase(const ConvShape& shape, std::size_t axis, std::int64_t index) noexcept;

/// A phase of all three axes.
struct Phase {
    std::array<AxisPhase, max_spatial_rank> axes;

    /// The convolution that it is. `shape` is that of the convolution which is transposed.
    ConvShape shape_of(const ConvShape& shape) const;

    Extent tap_counts() const { return {axes[0].taps, axes[1].taps, axes[2].taps}; }
    std::int64_t taps() const { return axes[0].taps * axes[1].taps * axes[2].taps; }
    std::int64_t pixels() const { return axes[0].outputs * axes[1].outputs * axes[2].outputs; }
};

/// Its weights, among those of all; the strides of the kernel's axes follow those of channels.
ConstArray weights_of(const Phase& phase, ConstArray all);

/// The shape in which each output is the pixel of x at its place, to bring boxes of x into bands.
ConvShape pixels_as_they_are(ConvShape shape);

/// visit(phase) for every phase that has taps, always in the same order. Whether it has outputs depends on their
/// number.
template <typename Visit>
void for_each_phase(const ConvShape& shape, const Visit& visit) {
    Phase phase;
    for (std::int64_t d = 0; d < phases_with_taps(shape, 0); ++d) {
        phase.axes[0] = axis_phase(shape, 0, d);
        for (std::int64_t h = 0; h < phases_with_taps(shape, 1); ++h) {
            phase.axes[1] = axis_phase(shape, 1, h);
            for (std::int64_t w = 0; w < phases_with_taps(shape, 2); ++w) {
                phase.axes[2] = axis_phase(shape, 2, w);
                visit(static_cast<const Phase&>(phase));
            }
        }
    }
}

/// Whether every output belongs to a phase that has taps.
bool phases_cover_output(const ConvShape& shape) noexcept;

}  // namespace flatconv

#endif
