// Cuts a vector of pixels at the ends of the band's rows.
#include "im2col/region_vectors.hpp"

#include <algorithm>

namespace flatconv {

int plan_vector(const BandLayout& layout, const PixelBox& box, std::int64_t first, std::int64_t count,
                PixelCopy* copies) noexcept {
    // Rows that follow each other without a gap are one row.
    const std::int64_t width = layout.is_dense(box) ? box.pixels() : box.size[2];
    int copy_count = 0;
    for (std::int64_t lane = 0; lane < count;) {
        const std::int64_t row = (first + lane) / width, w = (first + lane) % width;
        const std::int64_t source = layout.position_at(row / box.size[1], row % box.size[1], w);
        copies[copy_count++] = {ptrdiff_t(source), ptrdiff_t(lane)};
        lane += std::min(width - w, count - lane);
    }
    return copy_count;
}

}  // namespace flatconv
