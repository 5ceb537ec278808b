// One column of the region matrix as a row: what one kernel element meets at successive positions, image by image.
//
// The gradient of the weights reads regions in this order, because its sums run over positions.
#ifndef FLATCONV_IM2COL_REGION_ROW_HPP
#define FLATCONV_IM2COL_REGION_ROW_HPP

#include <cstddef>

#include "kernels/kernel_set.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

template <typename T>
class RegionRow {
  public:
    /// `strides` are those of x, in bytes. Where x holds halves, `half` reads them; else it is null.
    RegionRow(const Kernels<T>& kernels, const HalfKernels<T>* half, const ConvShape& shape, const ByteStrides& strides,
              const Extent& tap) noexcept;

    /// Writes the positions [first, last), counted through all images, of the channel that begins at `channel` in the
    /// first image.
    void write(const std::byte* channel, std::int64_t first, std::int64_t last, T* to) const noexcept;

  private:
    std::int64_t source(std::int64_t position, std::size_t axis) const noexcept;
    /// How many lines of positions, of at most so many from `line` on, which is read at `from`, a block can be copied
    /// of.
    std::int64_t whole_lines(const std::byte* from, std::int64_t line, std::int64_t most) const noexcept;
    void write_line(const std::byte* line, std::int64_t first, std::int64_t last, T* to) const noexcept;

    const Kernels<T>& kernels_;
    const HalfKernels<T>* half_;
    const ConvShape& shape_;
    const ByteStrides& strides_;
    Extent tap_at_;        // the padded coordinate of the kernel element at the first position, less the padding
    std::int64_t inside_;  // the first position of a line that lies inside the image, and
    std::int64_t after_;   // the first one after it
};

extern template class RegionRow<float>;
extern template class RegionRow<double>;

}  // namespace flatconv

#endif
