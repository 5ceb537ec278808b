// The whole region matrix, for callers who want to see it: im2col, unfold and their adjoints. Not on the way of conv.
//
// Both work on any stretch of elements, so that conv/regions.cpp can share them out, and stop between two stretches,
// whatever the shape: one image with one row, or one position with a huge kernel. Neither needs memory of its own.
#ifndef FLATCONV_IM2COL_REGION_MATRIX_HPP
#define FLATCONV_IM2COL_REGION_MATRIX_HPP

#include <cstddef>

#include "problem/conv_shape.hpp"
#include "problem/stored.hpp"

namespace flatconv {

/// Writes the elements [first, last) of the region matrix of all images, counted row by row, to their places in
/// `regions`. `x` and its `strides` are those of the whole batch.
void write_regions(const ConvShape& shape, const std::byte* x, const ByteStrides& strides, std::size_t element_bytes,
                   std::int64_t first, std::int64_t last, std::byte* regions);

/// The same for matrices that are transposed, one by one for each image: row by row means tap by tap of a channel.
void write_transposed_regions(const ConvShape& shape, const std::byte* x, const ByteStrides& strides,
                              std::size_t element_bytes, std::int64_t first, std::int64_t last, std::byte* regions);

/// One channel of one image, with taps and positions in each other's place. Position o of tap k reads the coordinate
/// o · stride + k · dilation − padding, so the region matrix of this shape is the transpose of the channel's.
ConvShape transposed_channel(const ConvShape& shape);

/// The pixels of one channel of one image whose coordinate along `axis` is in [first, last).
struct ImagePart {
    std::byte* channel;  // the first pixel of the whole channel
    std::size_t axis;
    std::int64_t first;
    std::int64_t last;
};

/// Sets a part of an image, which must not be empty, to the sums of its elements of the region matrix: first
/// `clear` all pixels, then `add` all elements in order. A part reads no other's pixels. The region matrix holds
/// `Stored`, the image what is computed with: float where that is halves.
template <typename Stored>
class RegionSums {
  public:
    /// `regions` begins with the channel's first element; the rows of the matrix are `shape.depth` elements long. It
    /// needs no alignment.
    RegionSums(const ConvShape& shape, const std::byte* regions, const ByteStrides& strides, const ImagePart& part);

    /// The number of pixels in the part.
    std::int64_t pixels() const { return size_[0] * size_[1] * size_[2]; }

    /// Sets the pixels [first, last) of the part to zero.
    void clear(std::int64_t first, std::int64_t last) const;

    /// The elements that the channel has in the region matrix, counted row by row.
    std::int64_t elements() const { return shape_.pixels * shape_.taps; }

    /// Adds those of the elements [first, last) that come from the part; most of the others are passed over at once.
    void add(std::int64_t first, std::int64_t last) const;

  private:
    std::int64_t next_reaching(std::int64_t position) const;

    const ConvShape& shape_;
    const std::byte* regions_;
    ByteStrides strides_;
    ImagePart part_;
    Extent low_{0, 0, 0};  // the part: coordinates from low_ on, size_ of them
    Extent size_;

    // Along the axis, positions before `before_` and from `after_` on read padding that may repeat pixels of the part;
    // of the others, those in [begin_, end_) reach it.
    std::int64_t before_, begin_, end_, after_;
};

}  // namespace flatconv

#endif
