// Brings channel after channel of one box into bands: what is the same for all of them is decided once.
#ifndef FLATCONV_IM2COL_CHANNEL_PADDING_HPP
#define FLATCONV_IM2COL_CHANNEL_PADDING_HPP

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/caches.hpp"
#include "im2col/padded_band.hpp"

namespace flatconv {

/// Whether channels of x, so many bytes apart, may come from beyond the caches: their rows lie too far apart for the
/// machine to guess them.
inline bool comes_from_afar(const ConvShape& shape, std::int64_t channel_stride) {
    return shape.parts == 1 &&
           std::abs(channel_stride) > second_level_cache / std::max<std::int64_t>(shape.in_channels, 1);
}

template <typename T>
class ChannelPadding {
  public:
    using Element = T;

    /// `blocks` has room for the layout's `most_image_blocks()`; `strides` are those of x, in bytes. Where x holds
    /// halves, `half` reads them; else it is null.
    ChannelPadding(const Kernels<T>& kernels, const HalfKernels<T>* half, const BandLayout& layout,
                   const ConvShape& shape, const PixelBox& box, const ByteStrides& strides, bool aligned,
                   ImageBlock* blocks)
        : kernels_(kernels),
          half_(half),
          layout_(layout),
          shape_(shape),
          box_(box),
          strides_{strides[2], strides[3], strides[4]},
          next_channel_(std::ptrdiff_t(strides[1] / (half ? 1 : std::int64_t(sizeof(T))))),
          fetches_next_(comes_from_afar(shape, strides[1])),
          only_zeros_(shape.padding_mode == PaddingMode::zeros && (aligned || half)),
          innermost_(only_zeros_ && !half && strides[1] == std::int64_t(sizeof(T)) && shape.parts == 1),
          blocks_(blocks) {
        if (!only_zeros_) return;
        // Halves are found by bytes, all else by elements.
        Extent units = strides_;
        for (std::int64_t& stride : units) stride /= half ? 1 : std::int64_t(sizeof(T));
        block_count_ = layout.image_blocks(shape, units, box, blocks);
    }

    /// `band` is `first` used for this box, or it holds another channel of it, and so the same zeros. If `index`
    /// is the channel's in its group, the one after it is fetched meanwhile if it comes from afar.
    void pad(const std::byte* channel, T* band, bool first, std::int64_t index = -1) const {
        if (!only_zeros_) return layout_.pad_channel(kernels_, half_, shape_, channel, strides_, box_, band);
        if (first) std::memset(band, 0, std::size_t(layout_.channel_length()) * sizeof(T));
        const T* const from = reinterpret_cast<const T*>(channel);
        const bool has_next = fetches_next_ && index >= 0 && index + 1 < shape_.in_channels;
        const std::ptrdiff_t next = has_next ? next_channel_ : 0;
        for (std::int64_t b = 0; b < block_count_; ++b) {
            const ImageBlock& block = blocks_[b];
            if (half_) {
                half_->widen({channel + block.from, block.from_stride, block.from_step, block.rows, block.cols,
                              band + block.to, block.to_stride, next});
                continue;
            }
            kernels_.copy_block({from + block.from, block.from_stride, block.from_step, block.rows, block.cols,
                                 band + block.to, block.to_stride, next});
        }
    }

    /// Whether channels are neighbours in memory, so that several are best padded at once.
    bool has_channels_innermost() const { return innermost_; }

    /// Then, the same for so many of them, to bands that are `band_stride` apart.
    void pad_neighbours(const std::byte* channel, std::int64_t channels, T* bands, std::int64_t band_stride,
                        bool first) const {
        if (first) std::memset(bands, 0, std::size_t(channels * band_stride) * sizeof(T));
        for (std::int64_t b = 0; b < block_count_; ++b) {
            const ImageBlock& block = blocks_[b];
            const T* from = reinterpret_cast<const T*>(channel) + block.from;
            for (std::int64_t r = 0; r < block.rows; ++r, from += block.from_stride) {
                kernels_.transpose({from, block.from_step, block.cols, channels, bands + block.to + r * block.to_stride,
                                    std::ptrdiff_t(band_stride), nullptr});
            }
        }
    }

  private:
    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_;
    const BandLayout& layout_;
    const ConvShape& shape_;
    const PixelBox& box_;
    const Extent strides_;
    const std::ptrdiff_t next_channel_;
    const bool fetches_next_;
    const bool only_zeros_;  // is the padding, so that only the image itself has to be copied
    const bool innermost_;   // are the channels
    ImageBlock* const blocks_;
    std::int64_t block_count_ = 0;
};

}  // namespace flatconv

#endif
