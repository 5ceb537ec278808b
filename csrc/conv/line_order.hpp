// Where the lines of a box of pixels lie among its sums, so that those which are multiplied together follow each other.
#ifndef FLATCONV_CONV_LINE_ORDER_HPP
#define FLATCONV_CONV_LINE_ORDER_HPP

#include <algorithm>

#include "base/checked.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Lines that are so many planes and lines apart follow each other, before those that begin with the next line, and
/// these before those that begin with the next plane.
struct LineOrder {
    std::int64_t planes = 1, lines = 1;

    bool is_that_of_pixels() const { return planes == 1 && lines == 1; }

    /// The number of the line `h` in the plane `d` of a box.
    std::int64_t at(const Extent& box, std::int64_t d, std::int64_t h) const {
        const auto before = [](std::int64_t size, std::int64_t apart, std::int64_t first) {
            return first * (size / apart) + std::min(first, size % apart);
        };
        const std::int64_t first_plane = d % planes, first_line = h % lines;
        const std::int64_t lines_alike = ceil_div(box[1] - first_line, lines);
        return before(box[0], planes, first_plane) * box[1] +
               ceil_div(box[0] - first_plane, planes) * before(box[1], lines, first_line) + d / planes * lines_alike +
               h / lines;
    }
};

}  // namespace flatconv

#endif
