// One task of the convolution of groups of a single channel, where channels are the innermost axis: some rows of the
// output, for some channels, with lanes across these.
#ifndef FLATCONV_CONV_CHANNEL_COLUMNS_PRODUCT_HPP
#define FLATCONV_CONV_CHANNEL_COLUMNS_PRODUCT_HPP

#include <limits>

#include "conv/channel_columns_blocking.hpp"
#include "conv/output_band.hpp"
#include "problem/padding.hpp"

namespace flatconv {

/// Some neighbouring columns after the other. Where a position lies is looked up once for all channels; outside of the
/// image it is a pixel of zeros.
template <typename T>
class ChannelColumnsTask {
  public:
    ChannelColumnsTask(const ChannelColumnsBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                       const ChannelColumnsWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          workspace_(workspace),
          weights_(operands.panels),
          task_(shape_, blocking.bands, index),
          y_(shape_, task_, arrays, operands, nullptr) {}

    void run(parallel::Cancellation& cancellation) const {
        const std::int64_t cols = shape_.output[2];
        for (std::int64_t col = 0; col < cols; col += blocking_.columns()) {
            if (col > 0 && cancellation.poll()) return;
            // The last ones may be computed twice.
            convolve(std::min(col, cols - blocking_.columns()));
        }
    }

  private:
    void convolve(std::int64_t col) const {
        place(task_.box.first[1] * shape_.stride[1], col * shape_.stride[2]);
        ChannelColumns<T> columns;
        columns.positions = workspace_.positions;
        columns.size = int(shape_.kernel[2]);
        columns.stride = int(shape_.stride[2]);
        columns.rows = task_.box.size[1];
        columns.channels = task_.rows;
        columns.weights = weights_ + blocking_.panels.at(0, task_.first_row / blocking_.panels.width);
        columns.y_row_stride = y_.line_stride();
        columns.y_pixel_stride = y_.pixel_stride();
        // A mirrored kernel begins with the last.
        const std::int64_t first_row = shape_.mirrored ? columns.rows - 1 : 0;
        const std::int64_t first_pixel = col + (shape_.mirrored ? blocking_.columns() - 1 : 0);
        columns.y = y_.pixel(0, 0, first_row, first_pixel);
        Epilogue<T> epilogue = y_.pixel_epilogue(0, 0, first_row, first_pixel);
        columns.residual_row_stride = y_.residual_line_stride();
        columns.epilogue = &epilogue;
        if (shape_.mirrored) {
            for (std::ptrdiff_t* stride : {&columns.y_row_stride, &columns.y_pixel_stride, &columns.residual_row_stride,
                                           &epilogue.residual_stride}) {
                *stride = -*stride;
            }
        }
        blocking_.kernels.convolve_columns(columns);
    }

    /// Finds out where all positions lie that the box's rows meet from these padded coordinates on.
    void place(std::int64_t first_row, std::int64_t first_col) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        const auto step = [&](std::size_t axis) { return strides[axis] / std::int64_t(sizeof(T)); };
        const std::int64_t count = blocking_.positions();
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t at = shape_.mirrored ? count - 1 - i : i;
            const std::int64_t col =
                source_index(shape_.padding_mode, first_col + at - shape_.pad_before[2], shape_.input[2]);
            workspace_.columns[i] = col == zero_element ? outside : std::ptrdiff_t(col * step(4));
        }
        const T* const x = static_cast<const T*>(arrays_.x.data) + task_.image * step(0) + task_.first_row;
        const T** to = workspace_.positions;
        const std::int64_t rows = blocking_.reach(task_.box.size[1]);
        for (std::int64_t r = 0; r < rows; ++r, to += count) {
            const std::int64_t at = first_row + (shape_.mirrored ? rows - 1 - r : r) - shape_.pad_before[1];
            const std::int64_t row = source_index(shape_.padding_mode, at, shape_.input[1]);
            for (std::int64_t i = 0; i < count; ++i) {
                const bool zero = row == zero_element || workspace_.columns[i] == outside;
                to[i] = zero ? workspace_.zeros : x + row * step(3) + workspace_.columns[i];
            }
        }
    }

    static constexpr std::ptrdiff_t outside = std::numeric_limits<std::ptrdiff_t>::min();

    const ChannelColumnsBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const ChannelColumnsWorkspace<T>& workspace_;
    const T* const weights_;
    const BandTask task_;
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
