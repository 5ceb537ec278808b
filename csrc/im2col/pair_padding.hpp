// Brings the channels of images of bfloat16 into bands, and finds their smallest exponents on the way.
#ifndef FLATCONV_IM2COL_PAIR_PADDING_HPP
#define FLATCONV_IM2COL_PAIR_PADDING_HPP

#include <algorithm>

#include "im2col/channel_padding.hpp"

namespace flatconv {

/// One channel at a time, as the halves that they are.
class MeasuredPadding {
  public:
    using Element = std::uint16_t;

    /// See ChannelPadding.
    MeasuredPadding(const PairKernels& kernels, const BandLayout& layout, const ConvShape& shape, const PixelBox& box,
                    const ByteStrides& strides, ImageBlock* blocks)
        : kernels_(kernels),
          padding_(none_but_copying_, &kernels.copying, layout, shape, box, strides, false, blocks),
          channel_length_(layout.channel_length()) {}

    /// As ChannelPadding::pad; returns the least exponent.
    int pad(const std::byte* channel, Element* band, bool first, std::int64_t index) const {
        padding_.pad(channel, band, first, index);
        return kernels_.least_exponent_of_halves(band, channel_length_);
    }

  private:
    static constexpr Kernels<Element> none_but_copying_{};
    const PairKernels& kernels_;
    const ChannelPadding<Element> padding_;
    const std::int64_t channel_length_;
};

/// Two neighbouring channels at a time, as words; padding is zeros.
class JoinedPadding {
  public:
    using Element = float;

    /// `channels` is their number in the image's group; `strides` are those of x, in bytes. `blocks` has room for the
    /// layout's `most_image_blocks()`.
    JoinedPadding(const PairKernels& kernels, const BandLayout& layout, const ConvShape& shape, std::int64_t channels,
                  const PixelBox& box, const ByteStrides& strides, ImageBlock* blocks)
        : kernels_(kernels),
          layout_(layout),
          channels_(channels),
          channel_stride_(std::ptrdiff_t(strides[1])),
          fetches_next_(comes_from_afar(shape, 2 * strides[1], half_bytes)),
          blocks_(blocks),
          block_count_(layout.image_blocks(shape, {strides[2], strides[3], strides[4]}, box, blocks)) {
        std::int64_t padding = layout.channel_length();
        for (std::int64_t b = 0; b < block_count_; ++b) padding -= blocks[b].rows * blocks[b].cols;
        has_zeros_ = padding > 0;
    }

    /// Pads the pair with this index, whose first channel is `channel`; the same of `band` and the result.
    int pad(const std::byte* channel, float* band, bool first, std::int64_t index) const {
        if (first && has_zeros_) std::fill_n(band, layout_.channel_length(), 0.0f);
        const bool has_second = 2 * index + 1 < channels_;
        const std::ptrdiff_t next = fetches_next_ && 2 * index + 3 < channels_ ? 2 * channel_stride_ : 0;
        int least = no_exponent;
        for (std::int64_t b = 0; b < block_count_; ++b) {
            const ImageBlock& block = blocks_[b];
            least = std::min(least, kernels_.join_halves({channel + block.from, channel_stride_, has_second,
                                                          block.from_stride, block.from_step, block.rows, block.cols,
                                                          band + block.to, block.to_stride, next}));
        }
        return least;
    }

  private:
    const PairKernels& kernels_;
    const BandLayout& layout_;
    const std::int64_t channels_;
    const std::ptrdiff_t channel_stride_;
    const bool fetches_next_;
    ImageBlock* const blocks_;
    const std::int64_t block_count_;
    bool has_zeros_;
};

}  // namespace flatconv

#endif
