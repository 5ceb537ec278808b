// The whole region matrix, for callers who want to see it: im2col and its adjoint. Not on the way of conv.
#ifndef FLATCONV_IM2COL_REGION_MATRIX_HPP
#define FLATCONV_IM2COL_REGION_MATRIX_HPP

#include <cstddef>
#include <vector>

#include "problem/conv_shape.hpp"

namespace flatconv {

/// For every output position and tap of one axis, the element of x that the tap reads, or zero_element.
class TapTable {
  public:
    TapTable(const ConvShape& shape, std::size_t axis);

    std::int64_t source(std::int64_t position, std::int64_t tap) const {
        return source_[std::size_t(position * taps_ + tap)];
    }

  private:
    std::int64_t taps_;
    std::vector<std::int64_t> source_;
};

/// One table for each axis.
struct RegionTables {
    explicit RegionTables(const ConvShape& shape) : axes{{shape, 0}, {shape, 1}, {shape, 2}} {}

    TapTable axes[max_spatial_rank];
};

/// Writes the rows of one image that belong to its output row `row` of output.depth × output.height.
void write_regions(const ConvShape& shape, const RegionTables& tables, const std::byte* image,
                   const ByteStrides& strides, std::size_t element_bytes, std::int64_t row, std::byte* regions);

/// Sets one channel of one image to the sums of its elements of the region matrix.
template <typename T>
void sum_regions(const ConvShape& shape, const RegionTables& tables, const T* regions, std::int64_t channel,
                 std::byte* image, const ByteStrides& strides);

}  // namespace flatconv

#endif
