// One task of the direct convolution: a box of output pixels, for some groups of few output channels each.
#ifndef FLATCONV_CONV_DIRECT_PRODUCT_HPP
#define FLATCONV_CONV_DIRECT_PRODUCT_HPP

#include "conv/direct_blocking.hpp"
#include "conv/output_band.hpp"
#include "im2col/channel_padding.hpp"

namespace flatconv {

/// Pads the channels of a group, a block of depth at a time, and convolves them tile by tile.
template <typename T>
class DirectTask {
  public:
    DirectTask(const DirectBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
               const DirectWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          first_group_(index % blocking.group_parts() * blocking.groups_per_task),
          image_(index / blocking.group_parts() % shape_.batch),
          box_(blocking.bands.at(shape_, index / blocking.group_parts() / shape_.batch)),
          band_box_(blocking.band_box(box_)) {}

    void run(parallel::Cancellation& cancellation) {
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.half_x, blocking_.layout, blocking_.band_shape,
                                        band_box_, arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks);
        const bool one_block = shape_.depth <= blocking_.block;
        if (one_block) place_kernel_rows(0, shape_.depth);
        const std::int64_t end = std::min(shape_.groups, first_group_ + blocking_.groups_per_task);
        for (std::int64_t group = first_group_; group < end; ++group) {
            const BandTask task(box_, image_, group, shape_.out_channels);
            const OutputBand<T> y(shape_, task, arrays_, operands_, blocking_.half_y);
            std::int64_t depth = 0, padded = 0;
            // Without depth, one empty block still writes the bias.
            do {
                if (++blocks_ % blocking_.blocks_per_poll == 0 && cancellation.poll()) return;
                const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
                for (const std::int64_t last = ceil_div(depth + length, shape_.taps); padded < last; ++padded) {
                    padding.pad(channel_of(group, padded), workspace_.band + slot(padded),
                                group == first_group_ && padded < blocking_.slots);
                }
                if (!one_block) place_kernel_rows(depth, length);
                convolve(y, group, depth, depth + length == shape_.depth);
                depth += length;
            } while (depth < shape_.depth);
            if (workspace_.sums) bring_home(y);
        }
    }

  private:
    std::int64_t slot(std::int64_t channel) const {
        return channel % blocking_.slots * blocking_.layout.channel_length();
    }

    const std::byte* channel_of(std::int64_t group, std::int64_t channel) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        return static_cast<const std::byte*>(arrays_.x.data) + image_ * strides[0] +
               shape_.channel_at(strides[1], group * shape_.in_channels + channel, sizeof(T));
    }

    /// Describes a block of depth as runs of kernel rows.
    void place_kernel_rows(std::int64_t depth, std::int64_t length) {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        // A band of a single row holds the rows of a dilated kernel, and not those between them.
        const BandLayout& layout = blocking_.layout;
        const bool shared = blocking_.shares_rows && !shape_.mirrored &&
                            (kernel_h == 1 || layout.kernel_row_at(0, 1) - layout.kernel_row_at(0, 0) == row_step());
        kernel_row_runs_ = 0;
        for (std::int64_t at = 0; at < length;) {
            const std::int64_t tap = (depth + at) % shape_.taps, channel = (depth + at) / shape_.taps;
            const std::int64_t kw = tap % kernel_w, kh = tap / kernel_w % kernel_h, kd = tap / (kernel_w * kernel_h);
            KernelRows rows;
            rows.offset = std::ptrdiff_t(slot(channel) + blocking_.layout.kernel_row_at(kd, kh));
            rows.depth = at;
            rows.first_column = kw;
            rows.columns = std::min(kernel_w - kw, length - at);
            const bool whole = kw == 0 && rows.columns == kernel_w;
            rows.rows = whole && shared ? std::min(kernel_h - kh, (length - at) / kernel_w) : 1;
            workspace_.kernel_rows[kernel_row_runs_++] = rows;
            at += rows.rows * rows.columns;
        }
    }

    /// The direct kernel takes one vector, two, or as many as fill its registers.
    int tile_cols(std::int64_t left) const {
        const Kernels<T>& kernels = blocking_.kernels;
        if (ceil_div(left, kernels.lanes) * kernels.lanes >= kernels.direct_cols) {
            return int(std::min<std::int64_t>(left, kernels.direct_cols));
        }
        return int(std::min<std::int64_t>(left, 2 * kernels.lanes));
    }

    /// From a row of pixels to the next, in the band.
    std::ptrdiff_t row_step() const { return std::ptrdiff_t(blocking_.layout.position_at(0, shape_.stride[1], 0)); }

    void convolve(const OutputBand<T>& y, std::int64_t group, std::int64_t depth, bool last) {
        const BandLayout& layout = blocking_.layout;
        const WeightRows<T>& weights = operands_.weights;
        const bool finishes = last && (!workspace_.sums || finishes_sums(y));
        // A flattened box ends with its last pixel.
        const std::int64_t row_length = layout.position_at(0, 1, 0);
        const std::int64_t cols = blocking_.flattens ? (box_.size[1] - 1) * row_length + box_.size[2] : box_.size[2];
        const std::int64_t lines = blocking_.flattens ? 1 : box_.size[1];
        DirectTile<T> tile;
        tile.row_step = row_step();
        tile.columns = workspace_.columns;
        tile.kernel_rows = workspace_.kernel_rows;
        tile.kernel_row_runs = kernel_row_runs_;
        tile.weights_stride = weights.stride;
        tile.y_channel_stride = workspace_.sums ? sums_channel_stride() : y.row_stride();
        tile.y_row_stride = workspace_.sums ? sums_line_stride() : std::ptrdiff_t(shape_.output[2]);
        tile.residual_row_stride = std::ptrdiff_t(shape_.output[2]);
        tile.accumulate = depth > 0;
        for (std::int64_t channel = 0; channel < shape_.out_channels; channel += tile.channels) {
            tile.channels = int(std::min<std::int64_t>(max_direct_channels, shape_.out_channels - channel));
            tile.weights = weights.data + (group * shape_.out_channels + channel) * weights.stride + depth;
            T* const to = workspace_.sums ? workspace_.sums + channel * sums_channel_stride() : y.row(channel);
            for (std::int64_t h = 0; h < lines; h += tile.rows) {
                tile.rows = int(blocking_.tile_rows(tile.channels, lines - h));
                for (std::int64_t w = 0; w < cols; w += tile.cols) {
                    tile.cols = tile_cols(cols - w);
                    tile.band = workspace_.band + h * tile.row_step + w;
                    tile.y = to + h * tile.y_row_stride + w;
                    const Epilogue<T> epilogue = y.epilogue(channel, h * shape_.output[2] + w);
                    tile.epilogue = finishes ? &epilogue : nullptr;
                    blocking_.kernels.convolve(tile);
                }
            }
        }
    }

    std::ptrdiff_t sums_line_stride() const { return std::ptrdiff_t(DirectWorkspace<T>::sums_line_stride(blocking_)); }
    std::ptrdiff_t sums_channel_stride() const {
        return std::ptrdiff_t(DirectWorkspace<T>::sums_channel_stride(blocking_));
    }

    /// Whether sums are finished where they are kept.
    bool finishes_sums(const OutputBand<T>& y) const { return blocking_.half_y || copies(y) || y.joins_rows(); }

    /// Whether they need only be copied then.
    bool copies(const OutputBand<T>& y) const { return blocking_.y_in_rows && !y.has_residual(); }

    /// From the sums that were kept to y.
    void bring_home(const OutputBand<T>& y) const {
        if (blocking_.half_y) {
            return y.store_rows(blocking_.kernels, 0, shape_.out_channels, workspace_.sums, sums_channel_stride(),
                                sums_line_stride());
        }
        if (!copies(y)) {
            return y.scatter_rows(blocking_.kernels, 0, shape_.out_channels, workspace_.sums, sums_channel_stride(),
                                  sums_line_stride());
        }
        for (std::int64_t r = 0; r < shape_.out_channels; ++r) {
            blocking_.kernels.copy_block({workspace_.sums + r * sums_channel_stride(), sums_line_stride(), 1,
                                          box_.size[1], box_.size[2], y.row(r), std::ptrdiff_t(shape_.output[2])});
        }
    }

    const DirectBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const DirectWorkspace<T>& workspace_;
    const std::int64_t first_group_;
    const std::int64_t image_;
    const PixelBox box_;
    const PixelBox band_box_;
    std::int64_t kernel_row_runs_ = 0;
    std::int64_t blocks_ = 0;
};

}  // namespace flatconv

#endif
