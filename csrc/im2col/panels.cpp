// Cuts the pixels of a panel into vectors, at the ends of the box's rows.
#include "im2col/panels.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace flatconv {

int plan_copies(const BandLayout& layout, const PixelBox& box, std::int64_t first, int cols, int lanes,
                VectorCopy* copies) noexcept {
    const std::int64_t width = box.size[2];
    const std::int64_t filled = round_up(cols, lanes);
    int count = 0;
    for (std::int64_t at = 0; at < cols;) {
        const std::int64_t pixel = first + at;
        const std::int64_t row = pixel / width, w = pixel % width;
        const std::int64_t source = layout.position_at(row / box.size[1], row % box.size[1], w);
        const std::int64_t left = std::min<std::int64_t>(width - w, cols - at);
        // The last pixels' copies run on to the end of their vector, so that no lane stays undefined.
        const std::int64_t end = at + left < cols ? at + left : filled;
        for (std::int64_t v = at; v < end; v += lanes) {
            copies[count++] = {ptrdiff_t(source + v - at), ptrdiff_t(v)};
        }
        at += left;
    }
    return count;
}

}  // namespace flatconv
