// The second half of im2col: how the pixels of a band become the vectors that the micro-kernel reads.
#ifndef FLATCONV_IM2COL_REGION_VECTORS_HPP
#define FLATCONV_IM2COL_REGION_VECTORS_HPP

#include "im2col/padded_band.hpp"
#include "kernels/kernel_set.hpp"

namespace flatconv {

/// Writes the copies that bring pixels first … first + count - 1 of the box, at most `lanes` of them, into one vector,
/// and returns their number, at most `count`. A single copy means that the pixels are neighbours in the band already:
/// then the micro-kernel can read them where they lie.
int plan_vector(const BandLayout& layout, const PixelBox& box, std::int64_t first, std::int64_t count,
                PixelCopy* copies) noexcept;

}  // namespace flatconv

#endif
