// One task of the product with lanes across channels: one band of output pixels, walked through all of depth.
#ifndef FLATCONV_CONV_CHANNEL_PRODUCT_HPP
#define FLATCONV_CONV_CHANNEL_PRODUCT_HPP

#include "conv/channel_blocking.hpp"
#include "conv/output_band.hpp"
#include "conv/padded_channels.hpp"

namespace flatconv {

/// Per block of depth, `run` pads the channels that are new and multiplies the band's pixels with each panel of
/// weights. A panel's sums are finished, and brought into the order of y, as soon as they are complete.
template <typename T>
class ChannelTask {
  public:
    ChannelTask(const ChannelBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                const ChannelWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(shape_, blocking.bands, index),
          band_box_(blocking.band_box(task_.box)),
          channel_(static_cast<const std::byte*>(arrays.x.data) + task_.image * arrays.x.byte_strides[0] +
                   task_.group * shape_.in_channels * arrays.x.byte_strides[1]),
          y_(shape_, task_, arrays, operands.bias + task_.group * shape_.out_channels + task_.first_row,
             operands.clamp) {}

    void run(parallel::Cancellation& cancellation) {
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.layout, blocking_.band_shape, band_box_,
                                        arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks);
        PaddedChannels<T> padded(padding, blocking_.layout, blocking_.band_shape, channel_, arrays_.x.byte_strides[1],
                                 workspace_.ring, blocking_.ring);
        const PixelGrid<T> pixels = blocking_.in_place ? image_pixels() : band_pixels();
        std::int64_t depth = 0;
        // Without depth, one empty block still writes the bias.
        do {
            const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
            if (blocking_.in_place) {
                place_channels(depth, length);
            } else {
                padded.advance(depth, length, workspace_.offsets);
            }
            for (std::int64_t row = 0; row < task_.rows; row += blocking_.panels.width) {
                if (cancellation.poll()) return;
                multiply_panel(pixels, row, depth, length);
                if (depth + length == shape_.depth) finish_panel(row);
            }
            depth += length;
        } while (depth < shape_.depth);
    }

  private:
    PixelGrid<T> band_pixels() const {
        const BandLayout& layout = blocking_.layout;
        return joined({workspace_.ring,
                       task_.box.size,
                       {layout.position_at(1, 0, 0), layout.position_at(0, 1, 0), blocking_.column_step()}});
    }

    PixelGrid<T> image_pixels() const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        PixelGrid<T> pixels{nullptr, task_.box.size, {}};
        std::int64_t first = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            pixels.step[axis] = shape_.stride[axis] * strides[axis + 2] / std::int64_t(sizeof(T));
            first += (task_.box.first[axis] * shape_.stride[axis] - shape_.pad_before[axis]) * strides[axis + 2];
        }
        pixels.first = reinterpret_cast<const T*>(channel_ + first);
        return joined(pixels);
    }

    /// Rows that follow each other at the same step are one row.
    static PixelGrid<T> joined(PixelGrid<T> pixels) {
        for (const std::size_t axis : {1, 0}) {
            if (pixels.size[axis] != 1 && pixels.step[axis] != pixels.size[2] * pixels.step[2]) break;
            pixels.size[2] *= pixels.size[axis];
            pixels.size[axis] = 1;
        }
        return pixels;
    }

    void place_channels(std::int64_t depth, std::int64_t length) {
        const std::int64_t stride = arrays_.x.byte_strides[1] / std::int64_t(sizeof(T));
        for (std::int64_t i = 0; i < length; ++i) workspace_.offsets[i] = std::ptrdiff_t((depth + i) * stride);
    }

    std::ptrdiff_t sums_stride() const { return ChannelWorkspace<T>::sums_stride(blocking_); }

    void multiply_panel(const PixelGrid<T>& pixels, std::int64_t row, std::int64_t depth, std::int64_t length) {
        const std::int64_t panel = (task_.first_row + row) / blocking_.panels.width;
        const std::int64_t width = blocking_.panels.width_of(panel);
        const auto vectors = int(width / blocking_.kernels.lanes);
        const T* weights = workspace_.panel;
        if (weights) {
            pack_panel(blocking_.kernels, weight_sizes(shape_), arrays_.weight, task_.group, panel, depth, length,
                       workspace_.panel);
        } else {
            weights = operands_.panels + blocking_.panels.at(task_.group, panel) + depth * width;
        }
        const std::int64_t line = pixels.size[2] * sums_stride();
        multiply<T>(blocking_.kernels, {pixels,
                                        workspace_.offsets,
                                        {weights, workspace_.panel_offsets[vectors - 1]},
                                        vectors,
                                        length,
                                        workspace_.sums + row,
                                        {pixels.size[1] * line, line, sums_stride()},
                                        depth > 0});
    }

    void finish_panel(std::int64_t row) {
        const std::int64_t rows = std::min(blocking_.panels.width, task_.rows - row);
        y_.finish_panel(blocking_.kernels, workspace_.sums + row, sums_stride(), row, rows, workspace_.rows);
    }

    const ChannelBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const ChannelWorkspace<T>& workspace_;
    const BandTask task_;
    const PixelBox band_box_;
    const std::byte* const channel_;  // the first of the group, in the task's image
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
