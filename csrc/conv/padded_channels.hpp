// The channels of a band on their way through depth: padded into a ring, and found there by every depth of a block.
#ifndef FLATCONV_CONV_PADDED_CHANNELS_HPP
#define FLATCONV_CONV_PADDED_CHANNELS_HPP

#include <algorithm>
#include <type_traits>
#include <utility>

#include "im2col/channel_padding.hpp"

namespace flatconv {

/// A ring just large enough for the channels of one block of depth, so that each is padded once for each band.
template <typename T, typename Padding = ChannelPadding<T>>
class PaddedChannels {
  public:
    /// `channel` is the image's first channel in question, and `channel_stride` is that of x, in bytes.
    PaddedChannels(const Padding& padding, const BandLayout& layout, const ConvShape& shape, const std::byte* channel,
                   std::int64_t channel_stride, T* ring, std::int64_t ring_channels)
        : padding_(padding),
          layout_(layout),
          shape_(shape),
          channel_(channel),
          channel_stride_(channel_stride),
          ring_(ring),
          ring_channels_(ring_channels) {}

    /// Pads the channels of depths [depth, depth + length), as far as they are new, and writes for each of the depths
    /// how far from the ring's start the box's first position finds its element. Depths come in order.
    void advance(std::int64_t depth, std::int64_t length, std::ptrdiff_t* offsets) {
        pad(depth + length, false);
        place(depth, length, offsets);
    }

    /// Pads the channels of depths [depth, depth + length) from the ring's start on, also one that it held elsewhere.
    /// If the ring is `known`, it has held other channels of this box, and has its zeros.
    void restart(std::int64_t depth, std::int64_t length, bool known) {
        start_ = padded_ = depth / shape_.taps;
        pad(depth + length, known);
    }

    /// The offsets alone.
    void place(std::int64_t depth, std::int64_t length, std::ptrdiff_t* offsets) const {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        std::int64_t channel = depth / shape_.taps, tap = depth % shape_.taps;
        std::int64_t kd = tap / (kernel_h * kernel_w), kh = tap / kernel_w % kernel_h, kw = tap % kernel_w;
        for (std::int64_t i = 0; i < length;) {
            const bool at_first = kd == 0 && kh == 0 && kw == 0;
            if (at_first && shape_.taps > 1 && i >= shape_.taps && i + shape_.taps <= length) {
                // As those of the channel before, in another slot.
                const std::ptrdiff_t distance = slot(channel) - slot(channel - 1);
                for (const std::int64_t end = i + shape_.taps; i < end; ++i) {
                    offsets[i] = offsets[i - shape_.taps] + distance;
                }
                ++channel;
                continue;
            }
            const std::ptrdiff_t row = slot(channel) - ring_ + std::ptrdiff_t(layout_.kernel_row_at(kd, kh));
            AxisBand::Walk in_row = layout_.walk_kernel_row(kw);
            for (; kw < kernel_w && i < length; ++kw, ++i, in_row.next())
                offsets[i] = row + std::ptrdiff_t(in_row.at());
            kw = 0;
            if (++kh < kernel_h) continue;
            kh = 0;
            if (++kd < kernel_d) continue;
            kd = 0;
            ++channel;
        }
    }

  private:
    /// Pads the channels of depths before `end_depth`, as far as they are new.
    void pad(std::int64_t end_depth, bool known) {
        const std::int64_t end = ceil_div(end_depth, shape_.taps);
        for (std::int64_t count = 1; padded_ < end; padded_ += count) {
            const std::byte* const from = channel_ + shape_.channel_at(channel_stride_, padded_, sizeof(T));
            const std::int64_t index = slot_index(padded_);
            const auto is_first = [&] {
                return !known && index + count > std::exchange(used_, std::max(used_, index + count));
            };
            if constexpr (std::is_same_v<Padding, ChannelPadding<T>>) {
                if (padding_.has_channels_innermost()) {
                    count = std::min(end - padded_, ring_channels_ - index);
                    padding_.pad_neighbours(from, count, slot(padded_), layout_.channel_length(), is_first());
                    continue;
                }
            }
            padding_.pad(from, slot(padded_), is_first(), padded_);
        }
    }

    std::int64_t slot_index(std::int64_t channel) const { return (channel - start_) % ring_channels_; }
    T* slot(std::int64_t channel) const { return ring_ + slot_index(channel) * layout_.channel_length(); }

    const Padding& padding_;
    const BandLayout& layout_;
    const ConvShape& shape_;
    const std::byte* const channel_;
    const std::int64_t channel_stride_;
    T* const ring_;
    const std::int64_t ring_channels_;
    std::int64_t start_ = 0;  // the channel at the ring's start
    std::int64_t padded_ = 0;
    std::int64_t used_ = 0;  // bands, from the ring's start on
};

}  // namespace flatconv

#endif
