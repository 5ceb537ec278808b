// How the product that gives the gradient of weights is cut into parts for threads and caches; see
// conv/weight_gradient.cpp and conv/padded_gradient.cpp.
#ifndef FLATCONV_CONV_GRADIENT_PARTS_HPP
#define FLATCONV_CONV_GRADIENT_PARTS_HPP

#include <algorithm>

#include "base/checked.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Some rows, of what is summed over positions, and some columns, output channels, of a group.
struct GradientPart {
    std::int64_t group;
    std::int64_t first_row, rows;
    std::int64_t first_col, cols;
};

/// Parts are independent; each walks through all of depth, which is the positions of all images.
struct GradientParts {
    std::int64_t all_rows, all_cols, groups;
    std::int64_t rows, cols;  // of a part, at most
    std::int64_t row_parts, col_parts;

    /// For at least `threads`. A part keeps at most `elements`: for each row `sums` for each column, and `others`.
    GradientParts(const ConvShape& shape, std::int64_t rows_of_group, std::int64_t elements, std::int64_t sums,
                  std::int64_t others, int threads)
        : all_rows(rows_of_group), all_cols(shape.out_channels), groups(shape.groups) {
        constexpr std::int64_t most_cols = 256;  // so that a block of dy stays in the second-level cache
        constexpr std::int64_t least_cols = 16;
        cols = std::max(std::min({all_cols, most_cols, std::max(elements / 8, least_cols)}), std::int64_t{1});
        col_parts = ceil_div(all_cols, cols);
        cols = ceil_div(all_cols, col_parts);
        const std::int64_t most_rows = std::clamp<std::int64_t>(elements / (sums * cols + others), 1, all_rows);
        const std::int64_t wanted = ceil_div(std::int64_t(threads), groups);
        row_parts = std::min(std::max(ceil_div(all_rows, most_rows), ceil_div(wanted, col_parts)), all_rows);
        rows = ceil_div(all_rows, row_parts);
        row_parts = ceil_div(all_rows, rows);
    }

    std::int64_t count() const { return groups * row_parts * col_parts; }

    GradientPart at(std::int64_t index) const {
        const std::int64_t row = index % row_parts * rows;
        index /= row_parts;
        const std::int64_t col = index % col_parts * cols;
        return {index / col_parts, row, std::min(rows, all_rows - row), col, std::min(cols, all_cols - col)};
    }
};

}  // namespace flatconv

#endif
