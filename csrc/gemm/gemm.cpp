// The two loops around the micro-kernel, and the way to outputs that have no unit step.
#include "gemm/gemm.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"

namespace flatconv {

namespace {

/// Rows of a tile when `rows` are cut into as few tiles as possible, all nearly alike: a tile of one or two rows has
/// too few accumulators to keep the multipliers busy.
constexpr std::int64_t even_tile(std::int64_t rows, std::int64_t tile_rows) {
    return ceil_div(rows, ceil_div(rows, tile_rows));
}

/// Computes a tile in scratch, because its pixels lie apart.
template <typename T>
void multiply_scattered(const Kernels<T>& kernels, Tile<T> tile, std::byte* y, std::int64_t row_stride,
                        const std::int64_t* pixel_at, T* scratch) noexcept {
    const auto each_element = [&](auto&& move) {
        for (int r = 0; r < tile.rows; ++r) {
            for (int c = 0; c < tile.cols; ++c) {
                move(scratch + r * kernels.tile_cols + c, y + r * row_stride + pixel_at[c]);
            }
        }
    };
    tile.y = scratch;
    tile.y_stride = kernels.tile_cols;
    if (tile.accumulate) each_element([](T* here, const std::byte* there) { std::memcpy(here, there, sizeof(T)); });
    kernels.multiply(tile);
    each_element([](const T* here, std::byte* there) { std::memcpy(there, here, sizeof(T)); });
}

}  // namespace

template <typename T>
void multiply_block(const Kernels<T>& kernels, const BlockProduct<T>& product) noexcept {
    const std::int64_t tile_rows = even_tile(product.rows, kernels.tile_rows);
    const OutputBand<T>& y = product.y;
    // Rows outside, pixels inside: a strip of weights comes from memory once and stays in the first-level cache, while
    // the band's regions come from the second level.
    for (std::int64_t row = 0; row < product.rows; row += tile_rows) {
        for (std::int64_t col = 0; col < product.cols; col += kernels.tile_cols) {
            Tile<T> tile;
            tile.weights = product.weights.data + row * product.weights.stride;
            tile.weights_stride = product.weights.stride;
            tile.regions = product.regions + col / kernels.lanes;
            tile.depth = product.depth;
            tile.rows = int(std::min(tile_rows, product.rows - row));
            tile.cols = int(std::min<std::int64_t>(kernels.tile_cols, product.cols - col));
            tile.accumulate = product.accumulate;
            tile.bias = product.bias ? product.bias + row : nullptr;
            std::byte* at = y.data + row * y.row_stride;
            if (y.pixel_at) {
                multiply_scattered(kernels, tile, at, y.row_stride, y.pixel_at + col, product.scratch);
            } else {
                tile.y = reinterpret_cast<T*>(at) + col;
                tile.y_stride = std::ptrdiff_t(y.row_stride / std::int64_t(sizeof(T)));
                kernels.multiply(tile);
            }
        }
    }
}

template void multiply_block<float>(const Kernels<float>&, const BlockProduct<float>&) noexcept;
template void multiply_block<double>(const Kernels<double>&, const BlockProduct<double>&) noexcept;

}  // namespace flatconv
