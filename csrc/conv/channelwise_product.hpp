// One task of the convolution of groups of a single input channel: a box of output pixels, for some output channels,
// with lanes across these.
#ifndef FLATCONV_CONV_CHANNELWISE_PRODUCT_HPP
#define FLATCONV_CONV_CHANNELWISE_PRODUCT_HPP

#include "conv/channelwise_blocking.hpp"
#include "conv/output_band.hpp"
#include "im2col/channel_padding.hpp"

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
          band_box_(blocking.band_box(task_.box)),
          y_(shape_, task_, arrays, operands.bias + task_.first_row, operands.activation, blocking.half) {}

    void run(parallel::Cancellation& cancellation) {
        if (blocking_.spreads) place_image();
        const bool one_block = shape_.depth == blocking_.block;
        if (one_block) place_taps(0, shape_.depth);
        std::int64_t vectors = 0;
        for (std::int64_t row = 0; row < task_.rows; row += kernels_.lanes) {
            if (++vectors % blocking_.vectors_per_poll == 0 && cancellation.poll()) return;
            const std::int64_t channels = std::min<std::int64_t>(kernels_.lanes, task_.rows - row);
            if (blocking_.spreads) {
                spread(task_.first_row + row, channels);
            } else {
                pad(task_.first_row + row, channels);
            }
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
    const std::byte* input_channel(std::int64_t output_channel) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        return static_cast<const std::byte*>(arrays_.x.data) + task_.image * strides[0] +
               output_channel / blocking_.multiplier * strides[1];
    }

    /// Zeroes the band, and finds out which of its positions have a pixel of the image: the same for all channels.
    void place_image() {
        const ByteStrides& strides = arrays_.x.byte_strides;
        // Halves are found by bytes, all else by elements.
        const auto unit = std::int64_t(blocking_.half ? 1 : sizeof(T));
        const Extent steps{strides[2] / unit, strides[3] / unit, strides[4] / unit};
        blocks_ = blocking_.layout.image_blocks(blocking_.band_shape, steps, band_box_, workspace_.blocks);
        std::fill_n(workspace_.band, kernels_.lanes * blocking_.layout.channel_length(), T(0));
        std::ptrdiff_t* target = workspace_.targets;
        for (std::int64_t b = 0; b < blocks_; ++b) {
            ImageBlock& block = workspace_.blocks[b];
            for (std::int64_t r = 0; r < block.rows; ++r) {
                for (std::int64_t c = 0; c < block.cols; ++c) {
                    *target++ = (block.to + r * block.to_stride + c) * kernels_.lanes;
                }
            }
            // Rows that follow each other in the image are one row.
            if (block.from_stride == block.cols * block.from_step) {
                block.cols *= block.rows;
                block.rows = 1;
            }
        }
    }

    void spread(std::int64_t first, std::int64_t channels) const {
        PixelSpread<T> spread;
        spread.channel = workspace_.channel;
        spread.channels = int(channels);
        const auto bytes = std::int64_t(blocking_.half ? half_bytes : sizeof(T));
        spread.channels_step = blocking_.multiplier == 1 && arrays_.x.byte_strides[1] == bytes ? 1 : 0;
        spread.to = workspace_.band;
        spread.targets = workspace_.targets;
        for (std::int64_t b = 0; b < blocks_; ++b) {
            const ImageBlock& block = workspace_.blocks[b];
            if (blocking_.half) {
                widen(block, first, channels, spread);
                kernels_.spread_pixels(spread);
                spread.targets += spread.pixels;
                continue;
            }
            spread.pixel_step = block.from_step;
            spread.pixels = block.cols;
            for (std::int64_t c = 0; c < channels; ++c) {
                workspace_.channel[c] = reinterpret_cast<const T*>(input_channel(first + c)) + block.from;
            }
            for (std::int64_t r = 0; r < block.rows; ++r) {
                kernels_.spread_pixels(spread);
                spread.targets += block.cols;
                if (r + 1 == block.rows) break;
                for (std::int64_t c = 0; c < channels; ++c) workspace_.channel[c] += block.from_stride;
            }
        }
    }

    /// Reads the pixels of a block, which are halves, to be spread from where they are floats.
    void widen(const ImageBlock& block, std::int64_t first, std::int64_t channels, PixelSpread<T>& spread) const {
        const std::int64_t pixels = block.rows * block.cols, lanes = kernels_.lanes;
        T* to = workspace_.planes;
        spread.pixels = pixels;
        spread.pixel_step = std::ptrdiff_t(spread.channels_step == 1 ? lanes : 1);
        workspace_.channel[0] = to;
        for (std::int64_t r = 0; spread.channels_step == 1 && r < block.rows; ++r, to += block.cols * lanes) {
            blocking_.half->widen({input_channel(first) + block.from + r * block.from_stride, block.from_step,
                                   half_bytes, block.cols, channels, to, std::ptrdiff_t(lanes)});
        }
        for (std::int64_t c = 0; spread.channels_step != 1 && c < channels; ++c, to += pixels) {
            blocking_.half->widen({input_channel(first + c) + block.from, block.from_stride, block.from_step,
                                   block.rows, block.cols, to, std::ptrdiff_t(block.cols)});
            workspace_.channel[c] = to;
        }
    }

    /// The same from anything that the padded image may be made of.
    void pad(std::int64_t first, std::int64_t channels) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        const std::int64_t length = blocking_.layout.channel_length();
        for (std::int64_t c = 0; c < channels; ++c) {
            blocking_.layout.pad_channel(kernels_, blocking_.half, blocking_.band_shape, input_channel(first + c),
                                         {strides[2], strides[3], strides[4]}, band_box_,
                                         workspace_.planes + c * length);
        }
        kernels_.transpose({workspace_.planes, std::ptrdiff_t(length), channels, length, workspace_.band,
                            std::ptrdiff_t(kernels_.lanes), nullptr});
    }

    /// Where the first position of each depth lies.
    void place_taps(std::int64_t depth, std::int64_t length) const {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        for (std::int64_t i = 0; i < length; ++i) {
            const std::int64_t tap = depth + i, kw = tap % kernel_w, kh = tap / kernel_w % kernel_h;
            workspace_.offsets[i] =
                std::ptrdiff_t(blocking_.layout.tap_at(tap / (kernel_w * kernel_h), kh, kw) * kernels_.lanes);
        }
    }

    void convolve(std::int64_t first, std::int64_t depth, std::int64_t length) const {
        const std::int64_t lanes = kernels_.lanes, channel = task_.first_row + first;
        const std::int64_t panel = channel / blocking_.panels.width, width = blocking_.panels.width_of(panel);
        const BandLayout& layout = blocking_.layout;
        ChannelwisePlane<T> plane;
        plane.row_step = layout.position_at(0, blocking_.step(1), 0);
        plane.pixel_step = blocking_.step(2);
        plane.offsets = workspace_.offsets;
        plane.depth = length;
        plane.kernel_columns = blocking_.kernel_columns();
        plane.weights =
            operands_.panels + blocking_.panels.at(0, panel) + depth * width + channel % blocking_.panels.width;
        plane.weights_stride = std::ptrdiff_t(width);
        plane.rows = task_.box.size[1];
        plane.cols = task_.box.size[2];
        plane.accumulate = depth > 0;
        for (std::int64_t d = 0; d < task_.box.size[0]; ++d) {
            plane.band = workspace_.band + layout.position_at(d * blocking_.step(0), 0, 0) * lanes;
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
    const PixelBox band_box_;
    const OutputBand<T> y_;
    std::int64_t blocks_ = 0;
};

}  // namespace flatconv

#endif
