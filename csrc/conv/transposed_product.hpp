// One task of the transposed product: a box of outputs, all phases of it, panel by panel of output channels.
#ifndef FLATCONV_CONV_TRANSPOSED_PRODUCT_HPP
#define FLATCONV_CONV_TRANSPOSED_PRODUCT_HPP

#include <algorithm>
#include <cstring>

#include "conv/output_band.hpp"
#include "conv/transposed_blocking.hpp"
#include "im2col/channel_padding.hpp"

namespace flatconv {

/// From the first to before the end.
struct Channels {
    std::int64_t first, end;
};

/// The channels that are in memory at a time, side by side.
template <typename T>
class ChannelWindow {
  public:
    ChannelWindow(T* memory, std::int64_t capacity, std::int64_t stride)
        : memory_(memory), capacity_(capacity), stride_(stride) {}

    T* at(std::int64_t channel) const { return memory_ + (channel - held_.first) * stride_; }

    void restart() { held_ = {0, 0}; }

    /// Makes fill(begin, end) bring in the channels that are not there. Ranges do not go back.
    template <typename Fill>
    void advance(const Channels& wanted, const Fill& fill) {
        if (wanted.end <= held_.end) return;
        if (wanted.end - held_.first > capacity_) {
            const std::int64_t kept = held_.end - wanted.first;
            if (kept > 0) std::memmove(memory_, at(wanted.first), std::size_t(kept * stride_) * sizeof(T));
            held_.first = wanted.first;
        }
        fill(held_.end, wanted.end);
        held_.end = wanted.end;
    }

  private:
    T* const memory_;
    const std::int64_t capacity_;
    const std::int64_t stride_;
    Channels held_{0, 0};
};

template <typename T>
class TransposedTask {
  public:
    TransposedTask(const TransposedBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                   const TransposedWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(shape_, blocking.bands, index),
          pixel_box_(blocking.pixels_of(task_.box)),
          image_(static_cast<const std::byte*>(arrays.x.data) + task_.image * arrays.x.byte_strides[0]),
          y_(shape_, task_, arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) {
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.half_x, blocking_.layout, blocking_.band_shape,
                                        pixel_box_, arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks);
        ChannelWindow<T> pixels(workspace_.pixels, blocking_.pixel_window, blocking_.pixel_stride);
        const auto pad = [&](std::int64_t channel, std::int64_t end) {
            const auto from = [&] {
                const std::int64_t of_all = task_.group * shape_.in_channels + channel;
                return image_ + shape_.channel_at(arrays_.x.byte_strides[1], of_all, sizeof(T));
            };
            if (padding.has_channels_innermost()) {
                padding.pad_neighbours(from(), end - channel, pixels.at(channel), blocking_.pixel_stride, false);
                return;
            }
            for (; channel < end; ++channel) padding.pad(from(), pixels.at(channel), false, channel);
        };
        if (!is_inside(pixel_box_)) {
            std::fill_n(workspace_.pixels, blocking_.pixel_window * blocking_.pixel_stride, T(0));
        }
        for (std::int64_t row = 0; row < task_.rows; row += blocking_.panels.width) {
            const Panel panel = panel_at(row);
            ChannelWindow<T> weights(workspace_.weights, blocking_.window, panel.channel_stride);
            const auto pack = [&](std::int64_t channel, std::int64_t end) {
                pack_panel(blocking_.kernels, blocking_.half_panels, weight_sizes(shape_), arrays_.weight, task_.group,
                           panel.index, channel * shape_.taps, (end - channel) * shape_.taps, weights.at(channel));
            };
            if (blocking_.pixel_window < shape_.in_channels) pixels.restart();
            if (!blocking_.covers_output) std::fill_n(workspace_.sums, task_.box.pixels() * panel.width, T(0));
            std::fill_n(workspace_.done, blocking_.phases.size(), 0);
            for (Channels next{0, 0}; next.end < shape_.in_channels;) {
                if (cancellation.poll()) return;
                next = next_channels();
                pixels.advance(next, pad);
                if (workspace_.weights) weights.advance(next, pack);
                multiply_blocks(next.end, panel, [&](const PatternedPhase& part, std::int64_t channel) {
                    return Operand{pixels.at(channel), workspace_.weights
                                                           ? weights.at(channel) + first_tap(part.phase) * panel.width
                                                           : packed_weights(part, panel, channel)};
                });
            }
            y_.finish_channels(blocking_.kernels, workspace_.sums, std::ptrdiff_t(panel.width), row,
                               std::min(panel.width, task_.rows - row), blocking_.y_in_rows, workspace_.rows,
                               blocking_.line_order);
        }
    }

  private:
    struct Panel {
        std::int64_t index;
        std::int64_t width;
        std::int64_t channel_stride;  // from the weights of one channel of x to the next
    };

    /// Where a channel's pixels and a phase's weights are.
    struct Operand {
        const T* pixels;
        const T* weights;
    };

    /// Whether a box of pixels is part of x.
    bool is_inside(const PixelBox& box) const {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            if (box.first[axis] < 0 || box.first[axis] + box.size[axis] > shape_.input[axis]) return false;
        }
        return true;
    }

    Panel panel_at(std::int64_t row) const {
        const PanelLayout& panels = blocking_.panels;
        const std::int64_t index = (task_.first_row + row) / panels.width, width = panels.width_of(index);
        return {index, width, width * shape_.taps};
    }

    /// How far the first tap of a phase is among all.
    std::int64_t first_tap(const Phase& phase) const {
        const auto& [d, h, w] = phase.axes;
        return (d.first_tap * shape_.kernel[1] + h.first_tap) * shape_.kernel[2] + w.first_tap;
    }

    /// Those of a channel, from a panel that was packed for the call, or for the layer.
    const T* packed_weights(const PatternedPhase& part, const Panel& panel, std::int64_t channel) const {
        const PanelLayout& all = blocking_.panels;
        if (!arrays_.packed) {
            return operands_.panels + all.at(task_.group, panel.index) + channel * panel.channel_stride +
                   first_tap(part.phase) * panel.width;
        }
        const std::int64_t taps = part.phase.taps();
        PanelLayout own = all;
        own.depth = shape_.in_channels * taps;
        return reinterpret_cast<const T*>(arrays_.packed[part.packed_part].panels) + own.at(task_.group, panel.index) +
               channel * taps * panel.width;
    }

    std::int64_t block_end(std::int64_t depth, std::int64_t taps) const {
        return ceil_div(std::min(depth + depth_block, shape_.in_channels * taps), taps);
    }

    /// The channels up to where a phase's block ends next, from the first that a phase still needs.
    Channels next_channels() const {
        Channels next{shape_.in_channels, shape_.in_channels};
        for (std::size_t p = 0; p < blocking_.phases.size(); ++p) {
            const std::int64_t taps = blocking_.phases[p].phase.taps(), done = workspace_.done[p];
            next.first = std::min(next.first, done / taps);
            next.end = std::min(next.end, block_end(done, taps));
        }
        return next;
    }

    /// Multiplies all blocks that end with the channels before `end`.
    template <typename Find>
    void multiply_blocks(std::int64_t end, const Panel& panel, const Find& find) const {
        for (std::size_t p = 0; p < blocking_.phases.size(); ++p) {
            const std::int64_t taps = blocking_.phases[p].phase.taps(), depth = shape_.in_channels * taps;
            std::int64_t& done = workspace_.done[p];
            while (done < depth && block_end(done, taps) == end) {
                const std::int64_t length = std::min(depth_block, depth - done);
                multiply_block(blocking_.phases[p], panel, find(blocking_.phases[p], done / taps), done, length);
                done += length;
            }
        }
    }

    /// Those of the phase's next block, unless they are packed for the task when they are needed. A phase's packed
    /// panels follow each other, and so do their blocks; among the taps of all phases, its own lie alike in every
    /// channel.
    const T* next_weights(const Operand& operand, const Panel& panel, std::int64_t taps, std::int64_t length) const {
        if (workspace_.weights) return nullptr;
        if (arrays_.packed) return operand.weights + length * panel.width;
        return length % taps == 0 ? operand.weights + length / taps * panel.channel_stride : nullptr;
    }

    void multiply_block(const PatternedPhase& part, const Panel& panel, Operand operand, std::int64_t depth,
                        std::int64_t length) const {
        // The outputs of the phase within the box, and the pixels that their last taps read.
        PixelGrid<T> pixels{operand.pixels, {}, {}};
        Extent output, pixel;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const AxisPhase& phase = part.phase.axes[axis];
            const std::int64_t stride = shape_.stride[axis], first = task_.box.first[axis] - phase.first_output;
            const std::int64_t begin = first > 0 ? ceil_div(first, stride) : 0, behind = first + task_.box.size[axis];
            pixels.size[axis] = (behind > 0 ? ceil_div(behind, stride) : 0) - begin;
            if (pixels.size[axis] <= 0) return;
            output[axis] = begin * stride - first;
            pixel[axis] = begin - phase.pad_before - pixel_box_.first[axis];
        }
        const BandLayout& layout = blocking_.layout;
        pixels.first += layout.position_at(pixel[0], pixel[1], pixel[2]);
        pixels.step = {layout.position_at(1, 0, 0), layout.position_at(0, 1, 0), 1};
        const auto line_at = [&](std::int64_t d, std::int64_t h) {
            return blocking_.line_order.at(task_.box.size, d, h) * task_.box.size[2] * panel.width;
        };
        const auto [d, h, w] = output;
        const std::int64_t first = line_at(d, h);
        const Extent sums_step{line_at(d + shape_.stride[0], h) - first, line_at(d, h + shape_.stride[1]) - first,
                               shape_.stride[2] * panel.width};
        pixels.join_lines(sums_step);
        const auto vectors = int(panel.width / blocking_.kernels.lanes);
        const auto tables = workspace_.tables_of(blocking_, part.pattern);
        const std::int64_t tap = depth % part.phase.taps();
        multiply<T>(blocking_.kernels, {pixels,
                                        tables.pixels + tap,
                                        {operand.weights, tables.weights[vectors - 1] + tap},
                                        vectors,
                                        length,
                                        workspace_.sums + first + w * panel.width,
                                        sums_step,
                                        depth > 0,
                                        next_weights(operand, panel, part.phase.taps(), length)});
    }

    const TransposedBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const TransposedWorkspace<T>& workspace_;
    const BandTask task_;
    const PixelBox pixel_box_;
    const std::byte* const image_;
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
