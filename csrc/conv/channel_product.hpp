// One task of the product with lanes across channels: one band of output pixels, walked through all of depth.
#ifndef FLATCONV_CONV_CHANNEL_PRODUCT_HPP
#define FLATCONV_CONV_CHANNEL_PRODUCT_HPP

#include "conv/band_parts.hpp"
#include "conv/channel_blocking.hpp"
#include "conv/output_band.hpp"
#include "conv/padded_channels.hpp"
#include "conv/pixels_ahead.hpp"

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
          ahead_(blocking, arrays, task_, index),
          band_box_(blocking.band_box(task_.box)),
          channel_(static_cast<const std::byte*>(arrays.x.data) + task_.image * arrays.x.byte_strides[0] +
                   shape_.channel_at(arrays.x.byte_strides[1], task_.group * shape_.in_channels, sizeof(T))),
          y_(shape_, task_, arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) {
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.half_x, blocking_.layout, blocking_.band_shape,
                                        band_box_, arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks,
                                        workspace_.placed);
        PaddedChannels<T> padded(padding, blocking_.layout, blocking_.band_shape, channel_, arrays_.x.byte_strides[1],
                                 workspace_.ring, blocking_.ring);
        BandParts<T> parts(blocking_, workspace_, task_.box, blocking_.in_place ? image_pixels() : band_pixels());
        // Those tables are the same for every group and image, and so are the ring's zeros.
        const bool known = blocking_.has_one_table() && *workspace_.tables_of == task_.box_index;
        *workspace_.tables_of = blocking_.has_one_table() ? task_.box_index : -1;
        if (blocking_.panels_outside) return run_by_panels(padded, parts, known, cancellation);
        std::int64_t depth = 0;
        // Without depth, one empty block still writes the bias.
        do {
            const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
            if (!blocking_.in_place) padded.restart(depth, length, known);
            if (!known) place(padded, parts, depth, length);
            parts.select(depth, length);
            pieces_ = ahead_.during(depth, length);
            for (std::int64_t row = 0; row < task_.rows; row += blocking_.panels.width) {
                if (cancellation.poll()) return;
                multiply_panel(parts, row, depth, length);
                if (depth + length == shape_.depth) finish_panel(row);
            }
            depth += length;
        } while (depth < shape_.depth);
    }

  private:
    /// All depths of one panel after the other. They lie alike in every block.
    void run_by_panels(PaddedChannels<T>& padded, BandParts<T>& parts, bool known,
                       parallel::Cancellation& cancellation) {
        if (!blocking_.in_place) padded.restart(0, shape_.depth, known);
        if (!known) place(padded, parts, 0, blocking_.block);
        for (std::int64_t row = 0; row < task_.rows; row += blocking_.panels.width) {
            for (std::int64_t depth = 0; depth < shape_.depth; depth += blocking_.block) {
                if (cancellation.poll()) return;
                const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
                parts.select(depth, length);
                multiply_panel(parts, row, depth, length);
            }
            finish_panel(row);
        }
    }

    /// How much further than the first block's the pixels of the block at `depth` lie.
    std::ptrdiff_t block_at(std::int64_t depth) const {
        if (blocking_.in_place) return channel_at(depth);
        return blocking_.panels_outside ? std::ptrdiff_t(depth * blocking_.layout.channel_length()) : 0;
    }

    /// Where in the tables the block at `depth` begins.
    std::int64_t first_of(std::int64_t depth) const { return blocking_.has_one_table() ? depth % shape_.taps : 0; }

    /// Makes the tables of the block at `depth`, unless the first one's serve it, too.
    void place(const PaddedChannels<T>& padded, BandParts<T>& parts, std::int64_t depth, std::int64_t length) const {
        if (blocking_.has_one_table()) {
            if (depth > 0) return;
            length = blocking_.table_length();
        }
        if (blocking_.in_place) {
            for (std::int64_t i = 0; i < length; ++i) workspace_.offsets[i] = channel_at(i);
        } else {
            padded.place(depth, length, workspace_.offsets);
        }
        parts.place(depth, length);
    }

    std::ptrdiff_t channel_at(std::int64_t channel) const {
        constexpr std::int64_t bytes = sizeof(T);
        return std::ptrdiff_t(shape_.channel_at(arrays_.x.byte_strides[1], channel, bytes) / bytes);
    }

    PixelGrid<T> band_pixels() const {
        const BandLayout& layout = blocking_.layout;
        return {workspace_.ring,
                task_.box.size,
                {layout.position_at(1, 0, 0), layout.position_at(0, 1, 0), blocking_.column_step()}};
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
        return pixels;
    }

    /// Panel after panel, each with a row of its width for each pixel.
    T* sums_of(std::int64_t row) const {
        return workspace_.sums + (blocking_.finishes_panels() ? 0 : row * task_.box.pixels());
    }
    std::int64_t panel_of(std::int64_t row) const { return (task_.first_row + row) / blocking_.panels.width; }

    void multiply_panel(const BandParts<T>& parts, std::int64_t row, std::int64_t depth, std::int64_t length) {
        const std::int64_t panel = panel_of(row), width = blocking_.panels.width_of(panel);
        const std::int64_t before = first_of(depth) * width;  // the block, in the tables
        const auto vectors = int(width / blocking_.kernels.lanes);
        const T* weights = nullptr;
        bool finite = operands_.finite;
        if (workspace_.panel) {
            weights = workspace_.panel + before;
            pack_panel(blocking_.kernels, blocking_.half_panels, weight_sizes(shape_), arrays_.weight, task_.group,
                       panel, depth, length, workspace_.panel + before);
            finite = blocking_.taps.leave_out() && all_finite(blocking_.kernels, weights, vectors, length);
        } else {
            weights = operands_.panels + blocking_.panels.at(task_.group, panel) + depth * width;
        }
        const T* ahead = weights_after(row, depth, length);
        parts.for_each(finite, [&](const BandPart<T>& part) {
            const TileWalk& walk = part.walks[vectors - 1];
            const Extent step = walk.ordered(part.sums_step);
            multiply<T>(blocking_.kernels, {{part.pixels.first + block_at(depth), walk.ordered(part.pixels.size),
                                             walk.ordered(part.pixels.step)},
                                            part.pixel_offsets + part.first,
                                            {weights - before, part.panel_offsets[vectors - 1] + part.first},
                                            vectors,
                                            part.depth,
                                            sums_of(row) + part.sums_at * width,
                                            {step[0] * width, step[1] * width, step[2] * width},
                                            depth > 0,
                                            part.has_new_taps ? ahead : nullptr,
                                            walk.runs,
                                            &pieces_,
                                            walk.axes[2] == 2 ? blocking_.kernel_columns(part.taps) : 0});
        });
    }

    /// The packed weights that are multiplied after those of the panel at `row`, or that the next task begins with; or
    /// null.
    const T* weights_after(std::int64_t row, std::int64_t depth, std::int64_t length) const {
        if (workspace_.panel) return nullptr;
        const std::int64_t first = first_of(depth);
        const auto next_row = [&] { return (row += blocking_.panels.width) < task_.rows || (row = 0); };
        const auto next_depth = [&] { return (depth += length) < shape_.depth || (depth = 0); };
        if (blocking_.panels_outside) {
            if (!next_depth()) next_row();
        } else {
            if (!next_row()) next_depth();
        }
        const std::int64_t panel = panel_of(row), width = blocking_.panels.width_of(panel);
        const std::int64_t at = blocking_.panels.at(task_.group, panel) + depth * width;
        // Tables that begin later in this block than in that one.
        return operands_.panels + std::max<std::int64_t>(0, at - first * width);
    }

    void finish_panel(std::int64_t row) {
        const auto stride = std::ptrdiff_t(blocking_.panels.width_of(panel_of(row)));
        y_.finish_channels(blocking_.kernels, sums_of(row), stride, row,
                           std::min(blocking_.panels.width, task_.rows - row), blocking_.transposes, workspace_.rows);
    }

    const ChannelBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const ChannelWorkspace<T>& workspace_;
    const BandTask task_;
    const PixelsAhead<T> ahead_;
    Pieces pieces_{};
    const PixelBox band_box_;
    const std::byte* const channel_;  // the first of the group, in the task's image
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
