// Brings the channels of images of bytes into bands, a group of neighbours at a time: one word for each pixel.
#ifndef FLATCONV_IM2COL_BYTE_PADDING_HPP
#define FLATCONV_IM2COL_BYTE_PADDING_HPP

#include <algorithm>

#include "im2col/padded_band.hpp"

namespace flatconv {

/// Unsigned numbers, as the right operand of ByteKernels wants them: a signed byte + 128.
class BytePadding {
  public:
    /// `channels` is their number in the image's group; `strides` are those of x, in bytes; `padding` is a byte of x,
    /// the one that padding holds. `blocks` has room for the layout's `most_image_blocks()`.
    BytePadding(const ByteKernels& kernels, const BandLayout& layout, const ConvShape& shape, std::int64_t channels,
                const PixelBox& box, const ByteStrides& strides, bool is_signed, std::uint8_t padding,
                ImageBlock* blocks)
        : kernels_(kernels),
          layout_(layout),
          channels_(channels),
          channel_stride_(strides[1]),
          flip_(is_signed ? 0x80 : 0),
          padding_(word_of(std::uint8_t(padding ^ flip_))),
          blocks_(blocks),
          block_count_(layout.image_blocks(shape, {strides[2], strides[3], strides[4]}, box, blocks)) {}

    /// Pads the group with this index, whose first channel is `channel`. `band` is `first` used for this box, or it
    /// holds another group of it, and so the same padding.
    void pad(const std::byte* channel, std::uint32_t* band, bool first, std::int64_t index) const {
        if (first) std::fill_n(band, layout_.channel_length(), padding_);
        const std::int64_t present = std::min<std::int64_t>(kernels_.group, channels_ - index * kernels_.group);
        for (std::int64_t b = 0; b < block_count_; ++b) {
            const ImageBlock& block = blocks_[b];
            kernels_.interleave({reinterpret_cast<const std::uint8_t*>(channel) + block.from,
                                 std::ptrdiff_t(channel_stride_), int(present), block.from_stride, block.from_step,
                                 block.rows, block.cols, band + block.to, block.to_stride, flip_, false});
        }
    }

  private:
    std::uint32_t word_of(std::uint8_t number) const {
        std::uint32_t word = 0;
        for (int k = 0; k < kernels_.group; ++k) word = word << (32 / kernels_.group) | number;
        return word;
    }

    const ByteKernels& kernels_;
    const BandLayout& layout_;
    const std::int64_t channels_;
    const std::int64_t channel_stride_;
    const std::uint8_t flip_;
    const std::uint32_t padding_;
    ImageBlock* const blocks_;
    const std::int64_t block_count_;
};

}  // namespace flatconv

#endif
