// The product over one block of depth, for one band of the output, in both orientations; called for each block by
// conv/pixel_product.hpp and conv/channel_product.hpp.
#ifndef FLATCONV_GEMM_GEMM_HPP
#define FLATCONV_GEMM_GEMM_HPP

#include <cstddef>
#include <cstdint>

#include "gemm/weights.hpp"
#include "kernels/kernel_set.hpp"

namespace flatconv {

/// Lanes across pixels: the weights' rows times vectors of regions.
template <typename T>
struct PixelProduct {
    WeightRows<T> weights;  // from the block's first row and depth on
    std::int64_t rows;
    const VectorOperand<T>* regions;  // `lanes` pixels each
    std::int64_t cols;
    std::int64_t depth;
    T* y;  // rows × cols
    std::ptrdiff_t y_stride;
    bool accumulate;              // y holds the sum of the earlier blocks
    const Epilogue<T>* epilogue;  // on the last block, from the first row and pixel on; or null
};

/// y = weights · regions, or y + that; then the epilogue.
template <typename T>
void multiply(const Kernels<T>& kernels, const PixelProduct<T>& product) noexcept;

/// Where pixels lie: a box of them, each axis with a step of its own, in elements.
template <typename T>
struct PixelGrid {
    const T* first;
    Extent size;
    Extent step;

    /// Makes one of lines that follow each other, and of planes, where what is `other_step` apart does so, too.
    void join_lines(const Extent& other_step) {
        for (const std::size_t axis : {std::size_t{1}, std::size_t{0}}) {
            if (size[axis] == 1) continue;
            if (step[axis] != size[2] * step[2] || other_step[axis] != size[2] * other_step[2]) return;
            size[2] *= size[axis];
            size[axis] = 1;
        }
    }
};

/// Tiles of pixels have a run of so many along a line, or one in each of two lines that are neighbours.
struct TileRuns {
    std::int64_t length;
    std::int64_t lines;
};

/// Memory that tiles bring into a cache while they multiply, a piece each: groups of so many that follow each other.
struct Pieces {
    const std::byte* first;
    std::ptrdiff_t group_step;
    std::int64_t of_group;
    std::int64_t bytes;  // of a piece
    std::int64_t next, end;

    const std::byte* take() {
        const std::byte* const group = first + next / of_group * group_step;
        return group + next++ % of_group * bytes;
    }
};

/// Lanes across channels: pixels times one panel of weights.
template <typename T>
struct ChannelProduct {
    PixelGrid<T> pixels;
    const std::ptrdiff_t* pixel_offsets;  // of each depth
    VectorOperand<T> panel;
    int vectors;  // of the panel
    std::int64_t depth;
    T* sums;                   // one row of vectors · lanes channels for each pixel,
    Extent sums_step;          // so many elements from one pixel to the next, along each axis
    bool accumulate;           // sums holds those of the earlier blocks
    const T* ahead = nullptr;  // weights that are multiplied next, which come into a cache meanwhile; or null
    TileRuns runs{0, 0};       // or as tile_runs finds them
    Pieces* pieces = nullptr;  // what comes into a cache after that, of which some are left to take; or null
    int kernel_columns = 0;    // depth is rows of so many neighbouring elements; or anything: 0
};

/// sums = pixels · panel, or sums + that.
template <typename T>
void multiply(const Kernels<T>& kernels, const ChannelProduct<T>& product) noexcept;

/// Whether all elements of a panel are finite: those whose products with zeros are zeros.
template <typename T>
bool all_finite(const Kernels<T>& kernels, const T* panel, int vectors, std::int64_t depth) noexcept;

/// Rows of a tile when `rows` are cut into as few tiles as possible, all nearly alike: a tile of one or two rows has
/// too few accumulators to keep the multipliers busy.
constexpr std::int64_t even_tile(std::int64_t rows, std::int64_t tile_rows) {
    return ceil_div(rows, ceil_div(rows, tile_rows));
}

/// How many lines of pixels share a tile of so many rows.
constexpr std::int64_t lines_of_tile(std::int64_t width, std::int64_t tile_rows) {
    return 2 * width <= tile_rows ? 2 : 1;
}

/// The largest runs of lines that are so wide.
constexpr TileRuns tile_runs(std::int64_t width, std::int64_t tile_rows) {
    return {even_tile(width, tile_rows), lines_of_tile(width, tile_rows)};
}

}  // namespace flatconv

#endif
