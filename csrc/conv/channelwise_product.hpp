// One task of the convolution of groups of one or a few input channels: a box of output pixels, for some output
// channels of all groups, with lanes across these.
#ifndef FLATCONV_CONV_CHANNELWISE_PRODUCT_HPP
#define FLATCONV_CONV_CHANNELWISE_PRODUCT_HPP

#include "conv/channelwise_blocking.hpp"
#include "conv/output_band.hpp"

namespace flatconv {

/// For one vector of output channels after the other: brings the padded pixels into a band of such vectors, convolves
/// them row by row, and brings the sums into the order of y.
template <typename T>
class ChannelwiseTask {
  public:
    ChannelwiseTask(const ChannelwiseBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                    const ChannelwiseWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          kernels_(blocking.kernels),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(shape_, blocking.bands, index),
          y_(shape_, task_, arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) {
        VectorBand<T> band(blocking_.bringing, workspace_.vectors, 1, arrays_.x.byte_strides);
        band.place(blocking_.band_box(task_.box));
        const bool one_block = shape_.depth == blocking_.block;
        if (one_block) place_taps(0, shape_.depth);
        std::int64_t vectors = 0;
        for (std::int64_t row = 0; row < task_.rows; row += kernels_.lanes) {
            if (++vectors % blocking_.vectors_per_poll == 0 && cancellation.poll()) return;
            const std::int64_t channels = std::min<std::int64_t>(kernels_.lanes, task_.rows - row);
            bring_pixels(band, task_.first_row + row, channels);
            if (!blocking_.from_panels) bring_weights(task_.first_row + row, channels);
            for (std::int64_t depth = 0; depth < shape_.depth; depth += blocking_.block) {
                const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
                if (!one_block) place_taps(depth, length);
                convolve(row, depth, length);
            }
            y_.finish_channels(kernels_, workspace_.sums, kernels_.lanes, row, channels, blocking_.y_in_rows,
                               workspace_.rows);
        }
    }

  private:
    /// The channels of x that the output channels from `first` on read: each its own, or those of whole groups.
    void bring_pixels(const VectorBand<T>& band, std::int64_t first, std::int64_t channels) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        const auto* const image = static_cast<const std::byte*>(arrays_.x.data) + task_.image * strides[0];
        const std::int64_t inner = shape_.in_channels, outer = blocking_.multiplier;
        if (inner == 1) {
            const auto channel_of = [&](std::int64_t c) { return image + (first + c) / outer * strides[1]; };
            return band.bring(channels, outer == 1, channel_of, workspace_.vectors.bands);
        }
        const auto channel_of = [&](std::int64_t c) { return image + (first / outer * inner + c) * strides[1]; };
        band.bring(channels / outer * inner, true, channel_of, workspace_.vectors.bands);
    }

    void bring_weights(std::int64_t first, std::int64_t channels) const {
        const std::int64_t lanes = kernels_.lanes;
        if (channels < lanes) std::fill_n(workspace_.weights, lanes * shape_.depth, T(0));
        const auto [rows, stride] = operands_.weights;
        kernels_.transpose({rows + first * stride, stride, channels, shape_.depth, workspace_.weights,
                            std::ptrdiff_t(lanes), nullptr});
    }

    /// Where the first position of each depth lies.
    void place_taps(std::int64_t depth, std::int64_t length) const {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        for (std::int64_t i = 0; i < length; ++i) {
            const std::int64_t tap = (depth + i) % shape_.taps, kw = tap % kernel_w, kh = tap / kernel_w % kernel_h;
            workspace_.offsets[i] =
                std::ptrdiff_t(blocking_.bringing.layout.tap_at(tap / (kernel_w * kernel_h), kh, kw) * kernels_.lanes);
        }
    }

    void convolve(std::int64_t first, std::int64_t depth, std::int64_t length) const {
        const std::int64_t lanes = kernels_.lanes, channel = task_.first_row + first;
        const std::int64_t panel = channel / blocking_.panels.width, width = blocking_.panels.width_of(panel);
        const BandLayout& layout = blocking_.bringing.layout;
        ChannelwisePlane<T> plane;
        plane.row_step = layout.position_at(0, blocking_.step(1), 0);
        plane.pixel_step = blocking_.step(2);
        plane.offsets = workspace_.offsets;
        plane.depth = length;
        plane.kernel_columns = blocking_.kernel_columns();
        plane.weights = blocking_.from_panels ? operands_.panels + blocking_.panels.at(0, panel) + depth * width +
                                                    channel % blocking_.panels.width
                                              : workspace_.weights;
        plane.weights_stride = std::ptrdiff_t(blocking_.from_panels ? width : lanes);
        plane.taps = shape_.taps;
        plane.places = workspace_.places;
        plane.rows = task_.box.size[1];
        plane.cols = task_.box.size[2];
        plane.accumulate = depth > 0;
        for (std::int64_t d = 0; d < task_.box.size[0]; ++d) {
            plane.band = workspace_.vectors.bands + layout.position_at(d * blocking_.step(0), 0, 0) * lanes;
            plane.sums = workspace_.sums + d * plane.rows * plane.cols * lanes;
            kernels_.convolve_channelwise(plane);
        }
    }

    const ChannelwiseBlocking<T>& blocking_;
    const Kernels<T>& kernels_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const ChannelwiseWorkspace<T>& workspace_;
    const BandTask task_;
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
