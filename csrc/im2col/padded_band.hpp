// The first half of im2col: a band of one image, padded, strided axes pulled apart, in contiguous memory.
//
// Reads the image where and how it lies (any strides, any alignment), once for each band; the second half
// (im2col/region_vectors.hpp) and the micro-kernel then meet nothing but unit steps.
#ifndef FLATCONV_IM2COL_PADDED_BAND_HPP
#define FLATCONV_IM2COL_PADDED_BAND_HPP

#include <array>
#include <cstddef>

#include "im2col/axis_band.hpp"
#include "kernels/kernel_set.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// A box of output positions. Its positions are consecutive in the output: an axis is cut only where the box has one
/// position on all axes before it.
struct PixelBox {
    Extent first;
    Extent size;

    std::int64_t pixels() const { return size[0] * size[1] * size[2]; }
};

/// A part of a channel that lies inside the image: where its elements are, in the caller's units, and where they go.
struct ImageBlock {
    std::ptrdiff_t from;  // relative to the channel's first element
    std::ptrdiff_t from_stride;
    std::ptrdiff_t from_step;
    std::int64_t rows, cols;
    std::ptrdiff_t to;  // in the band, in elements
    std::ptrdiff_t to_stride;

    bool goes_where(const ImageBlock& other) const {
        return to == other.to && to_stride == other.to_stride && rows == other.rows && cols == other.cols;
    }
};

/// The layout of all bands of one convolution whose boxes are at most `box` large.
class BandLayout {
  public:
    BandLayout(const ConvShape& shape, const Extent& box);

    /// Elements of one channel.
    std::int64_t channel_length() const { return axes_[0].length() * plane_length(); }

    /// Where the first position of a kernel element lies in its channel.
    std::int64_t tap_at(std::int64_t kd, std::int64_t kh, std::int64_t kw) const {
        return axes_[0].tap_at(kd) * plane_length() + axes_[1].tap_at(kh) * row_length() + axes_[2].tap_at(kw);
    }

    /// Where a kernel row's elements lie from; walk_kernel_row tells how far each does.
    std::int64_t kernel_row_at(std::int64_t kd, std::int64_t kh) const {
        return axes_[0].tap_at(kd) * plane_length() + axes_[1].tap_at(kh) * row_length();
    }

    /// Where the first position of each element of a kernel row lies.
    AxisBand::Walk walk_kernel_row(std::int64_t kw) const { return {axes_[2], kw}; }

    /// Where a position of the box lies, relative to its first.
    std::int64_t position_at(std::int64_t d, std::int64_t h, std::int64_t w) const {
        return d * plane_length() + h * row_length() + w;
    }

    /// Whether the positions of the box lie side by side, one row after the other.
    bool is_dense(const PixelBox& box) const {
        return (box.size[0] == 1 || plane_length() == box.size[1] * row_length()) &&
               (box.size[0] * box.size[1] == 1 || row_length() == box.size[2]);
    }

    /// What of a box's band lies inside the image, the same for all channels: at most `most_image_blocks()` blocks.
    /// `strides` are the image's, by spatial axis, in any unit, which is that of the blocks. Returns their number.
    /// Whether `in_place` stays true tells that as many of `blocks` went to the same places before.
    std::int64_t image_blocks(const ConvShape& shape, const Extent& strides, const PixelBox& box, ImageBlock* blocks,
                              bool& in_place) const;
    std::int64_t image_blocks(const ConvShape& shape, const Extent& strides, const PixelBox& box,
                              ImageBlock* blocks) const {
        bool in_place = false;
        return image_blocks(shape, strides, box, blocks, in_place);
    }
    std::int64_t most_image_blocks() const { return axes_[0].length() * axes_[1].runs() * axes_[2].runs(); }

    /// Copies one channel of the image, padded, to `band`. `strides` are the image's, in bytes, by spatial axis. `half`
    /// reads it where it holds halves; else that is null.
    template <typename T>
    void pad_channel(const Kernels<T>& kernels, const HalfKernels<T>* half, const ConvShape& shape,
                     const std::byte* channel, const Extent& strides, const PixelBox& box, T* band) const;

  private:
    std::int64_t row_length() const { return axes_[2].length(); }
    std::int64_t plane_length() const { return axes_[1].length() * axes_[2].length(); }

    std::array<AxisBand, max_spatial_rank> axes_;
};

extern template void BandLayout::pad_channel<float>(const Kernels<float>&, const HalfKernels<float>*, const ConvShape&,
                                                    const std::byte*, const Extent&, const PixelBox&, float*) const;
extern template void BandLayout::pad_channel<double>(const Kernels<double>&, const HalfKernels<double>*,
                                                     const ConvShape&, const std::byte*, const Extent&, const PixelBox&,
                                                     double*) const;
extern template void BandLayout::pad_channel<std::uint16_t>(const Kernels<std::uint16_t>&,
                                                            const HalfKernels<std::uint16_t>*, const ConvShape&,
                                                            const std::byte*, const Extent&, const PixelBox&,
                                                            std::uint16_t*) const;

}  // namespace flatconv

#endif
