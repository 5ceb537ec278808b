// Which pixels of x the product with lanes across channels pads next, for its tiles to fetch meanwhile.
#ifndef FLATCONV_CONV_PIXELS_AHEAD_HPP
#define FLATCONV_CONV_PIXELS_AHEAD_HPP

#include <algorithm>

#include "conv/channel_blocking.hpp"

namespace flatconv {

/// Those of one task. Where x lies beyond the nearer caches, to wait for it as it is padded takes longer than to pad
/// it; while tiles are multiplied, memory has nothing to do.
template <typename T>
class PixelsAhead {
  public:
    PixelsAhead(const ChannelBlocking<T>& blocking, const ConvArrays& arrays, const BandTask& task, std::int64_t index)
        : blocking_(blocking), x_(arrays.x), task_(task), index_(index) {}

    /// What tiles fetch while they multiply the block of depth [depth, depth + length): the channels of the next one,
    /// or those that the next task begins with.
    Pieces during(std::int64_t depth, std::int64_t length) const {
        const ConvShape& shape = blocking_.shape;
        const std::int64_t next_depth = depth + length;
        if (!blocking_.fetches_pixels()) return {};
        if (next_depth < shape.depth) {
            const std::int64_t end = std::min(next_depth + blocking_.block, shape.depth);
            return pieces(task_, range_of(task_), ceil_div(next_depth, shape.taps), ceil_div(end, shape.taps), length);
        }
        // Participants take turns.
        const std::int64_t next_index = index_ + blocking_.participants;
        if (next_index >= blocking_.tasks()) return {};
        const BandTask next(shape, blocking_.bands, next_index);
        Range range = range_of(next);
        // What the two have in common was read not long ago.
        if (next.image == task_.image && next.group == task_.group) {
            range.begin = std::max(range.begin, range_of(task_).end);
        }
        return pieces(next, range, 0, ceil_div(std::min(blocking_.block, shape.depth), shape.taps), length);
    }

  private:
    /// Of bytes, from the beginning of each channel.
    struct Range {
        std::int64_t begin, end;
    };

    /// From the first to the last pixel of x that a task reads; empty where most of what lies between is not read.
    Range range_of(const BandTask& task) const {
        const ConvShape& shape = blocking_.shape;
        Range range{0, std::int64_t(sizeof(T))};
        std::int64_t read = range.end;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t begin = task.box.first[axis] * shape.stride[axis] - shape.pad_before[axis];
            const std::int64_t last = begin + (task.box.size[axis] - 1) * shape.stride[axis] +
                                      (shape.kernel[axis] - 1) * shape.dilation[axis];
            const std::int64_t end = shape.input[axis] - 1, stride = x_.byte_strides[axis + 2];
            const std::int64_t low = std::clamp<std::int64_t>(begin, 0, end);
            const std::int64_t high = std::clamp<std::int64_t>(last, 0, end);
            range.begin += low * stride;
            range.end += high * stride;
            read *= high - low + 1;
        }
        if (range.end - range.begin > 2 * read) return {0, 0};
        return range;
    }

    /// Of the channels [first, end).
    Pieces pieces(const BandTask& task, const Range& range, std::int64_t first, std::int64_t end,
                  std::int64_t length) const {
        const std::int64_t bytes = range.end - range.begin;
        if (bytes <= 0 || first >= end) return {};
        // Each depth fetches a line.
        const std::int64_t of_channel = ceil_div(bytes, length * std::int64_t(cache_line));
        const ConvShape& shape = blocking_.shape;
        const std::int64_t channel = task.group * shape.in_channels + first;
        return {static_cast<const std::byte*>(x_.data) + task.image * x_.byte_strides[0] +
                    channel * x_.byte_strides[1] + range.begin,
                std::ptrdiff_t(x_.byte_strides[1]),
                of_channel,
                ceil_div(bytes, of_channel),
                0,
                of_channel * (end - first)};
    }

    const ChannelBlocking<T>& blocking_;
    const ConstArray& x_;
    const BandTask& task_;
    const std::int64_t index_;
};

}  // namespace flatconv

#endif
