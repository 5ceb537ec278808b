// The second half of im2col: the panels of the region matrix, tile_cols pixels wide, that the micro-kernel reads.
#ifndef FLATCONV_IM2COL_PANELS_HPP
#define FLATCONV_IM2COL_PANELS_HPP

#include "im2col/padded_band.hpp"
#include "kernels/kernel_set.hpp"

namespace flatconv {

/// Writes the copies that bring pixels first … first + cols - 1 of the box into a panel, and returns their number.
/// They fill whole vectors: what the last one brings beyond `cols` is never used. A panel needs at most `tile_cols`.
int plan_copies(const BandLayout& layout, const PixelBox& box, std::int64_t first, int cols, int lanes,
                VectorCopy* copies) noexcept;

}  // namespace flatconv

#endif
