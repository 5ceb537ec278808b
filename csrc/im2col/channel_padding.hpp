// Brings channel after channel of one box into bands: what is the same for all of them is decided once.
#ifndef FLATCONV_IM2COL_CHANNEL_PADDING_HPP
#define FLATCONV_IM2COL_CHANNEL_PADDING_HPP

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/caches.hpp"
#include "im2col/padded_band.hpp"

namespace flatconv {

/// Whether channels of x, so many bytes apart, may come from beyond the caches, because x and y together leave them:
/// their rows lie too far apart for the machine to guess them. `element` is the size of one of y's.
inline bool comes_from_afar(const ConvShape& shape, std::int64_t channel_stride, std::size_t element) {
    const double x = double(shape.in_channels) * double(std::abs(channel_stride));
    const double y = double(shape.out_channels) * double(shape.pixels) * double(element);
    return shape.parts == 1 && x + y > double(second_level_cache);
}

template <typename T>
class ChannelPadding {
  public:
    using Element = T;

    /// `blocks` has room for the layout's `most_image_blocks()`; `strides` are those of x, in bytes. Where x holds
    /// halves, `half` reads them; else it is null. `placed` is how many of `blocks` are those of the box before, whose
    /// bands still hold its channels: -1 if there was none; or null.
    ChannelPadding(const Kernels<T>& kernels, const HalfKernels<T>* half, const BandLayout& layout,
                   const ConvShape& shape, const PixelBox& box, const ByteStrides& strides, bool aligned,
                   ImageBlock* blocks, std::int64_t* placed = nullptr)
        : kernels_(kernels),
          half_(half),
          layout_(layout),
          shape_(shape),
          box_(box),
          strides_{strides[2], strides[3], strides[4]},
          // Halves are found by bytes, all else by elements.
          unit_(half ? 1 : std::int64_t(sizeof(T))),
          next_channel_(std::ptrdiff_t(strides[1] / unit_)),
          next_box_(std::ptrdiff_t(rows_to_next_box(shape, box) * strides[3] / unit_) -
                    std::ptrdiff_t(shape.in_channels - 1) * next_channel_),
          fetches_next_(comes_from_afar(shape, strides[1], half ? half_bytes : sizeof(T))),
          only_zeros_(shape.padding_mode == PaddingMode::zeros && (aligned || half)),
          innermost_(only_zeros_ && !half && strides[1] == std::int64_t(sizeof(T)) && shape.parts == 1),
          blocks_(blocks) {
        if (!only_zeros_) return;
        Extent units = strides_;
        for (std::int64_t& stride : units) stride /= unit_;
        zeros_remain_ = placed && *placed >= 0;
        block_count_ = layout.image_blocks(shape, units, box, blocks, zeros_remain_);
        if (!placed) return;
        zeros_remain_ = zeros_remain_ && *placed == block_count_;
        *placed = block_count_;
    }

    /// `band` is `first` used for this box, or it holds another channel of it, and so the same zeros. If `index`
    /// is the channel's in its group, the one after it, or the next box's first one, is fetched meanwhile if it comes
    /// from afar.
    void pad(const std::byte* channel, T* band, bool first, std::int64_t index = -1) const {
        if (!only_zeros_) return layout_.pad_channel(kernels_, half_, shape_, channel, strides_, box_, band);
        if (first && !zeros_remain_) std::memset(band, 0, std::size_t(layout_.channel_length()) * sizeof(T));
        const T* const from = reinterpret_cast<const T*>(channel);
        const std::ptrdiff_t next = !fetches_next_ || index < 0      ? 0
                                    : index + 1 < shape_.in_channels ? next_channel_
                                                                     : next_box_;
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
        if (first && !zeros_remain_) std::memset(bands, 0, std::size_t(channels * band_stride) * sizeof(T));
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
    /// Rows of x from this box to the one below it; of the last ones, 0.
    static std::int64_t rows_to_next_box(const ConvShape& shape, const PixelBox& box) {
        const bool last = box.first[1] + box.size[1] >= shape.output[1];
        return last ? 0 : box.size[1] * shape.stride[1];
    }

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_;
    const BandLayout& layout_;
    const ConvShape& shape_;
    const PixelBox& box_;
    const Extent strides_;
    const std::int64_t unit_;
    const std::ptrdiff_t next_channel_;
    const std::ptrdiff_t next_box_;  // from the last channel to the first one, further down
    const bool fetches_next_;
    const bool only_zeros_;  // is the padding, so that only the image itself has to be copied
    const bool innermost_;   // are the channels
    ImageBlock* const blocks_;
    std::int64_t block_count_ = 0;
    bool zeros_remain_ = false;  // in all bands, from the box before
};

}  // namespace flatconv

#endif
