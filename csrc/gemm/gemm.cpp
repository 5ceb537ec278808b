// The loops around the micro-kernel.
#include "gemm/gemm.hpp"

#include <algorithm>

namespace flatconv {

template <typename T>
void multiply(const Kernels<T>& kernels, const PixelProduct<T>& product) noexcept {
    const std::int64_t tile_rows = even_tile(product.rows, kernels.tile_rows);
    // Rows outside, pixels inside: a strip of weights comes from memory once and stays in the first-level cache, while
    // the band's regions come from the second level.
    Tile<T> tile;
    tile.left_stride = product.weights.stride;
    tile.left_offsets = nullptr;
    tile.y_stride = product.y_stride;
    tile.depth = product.depth;
    tile.accumulate = product.accumulate;
    for (std::int64_t row = 0; row < product.rows; row += tile_rows) {
        tile.left = product.weights.data + row * product.weights.stride;
        tile.rows = int(std::min(tile_rows, product.rows - row));
        Epilogue<T> epilogue;
        tile.epilogue = nullptr;
        if (product.epilogue) {
            epilogue = *product.epilogue;
            epilogue.bias += row;
            if (epilogue.residual) epilogue.residual += row * epilogue.residual_stride;
            tile.epilogue = &epilogue;
        }
        for (std::int64_t col = 0; col < product.cols; col += kernels.tile_cols) {
            tile.right = product.regions + col / kernels.lanes;
            tile.y = product.y + row * product.y_stride + col;
            tile.cols = int(std::min<std::int64_t>(kernels.tile_cols, product.cols - col));
            kernels.multiply(tile);
            if (tile.epilogue && epilogue.residual) epilogue.residual += kernels.tile_cols;
        }
    }
}

template <typename T>
void multiply(const Kernels<T>& kernels, const ChannelProduct<T>& product) noexcept {
    const PixelGrid<T>& pixels = product.pixels;
    // Tiles of pixels run along a line: their elements of one depth are at one distance from each other.
    const std::int64_t width = pixels.size[2];
    const auto [run, lines] =
        product.runs.length > 0 ? product.runs : tile_runs(width, kernels.panel_rows[product.vectors - 1]);
    Tile<T> tile;
    tile.left_stride = std::ptrdiff_t(pixels.step[2]);
    tile.left_offsets = product.pixel_offsets;
    tile.left_columns = product.kernel_columns;
    tile.right = &product.panel;
    tile.y_stride = std::ptrdiff_t(product.sums_step[2]);
    tile.depth = product.depth;
    tile.cols = product.vectors * kernels.lanes;
    tile.accumulate = product.accumulate;
    tile.epilogue = nullptr;
    // The first tiles fetch one vector of each depth ahead, those behind them pieces; the others ask for what is there.
    int fetched = 0;
    Pieces* const pieces = product.pieces;
    const std::int64_t piece_step = pieces && product.depth > 0 ? ceil_div(pieces->bytes, product.depth) : 0;
    for (std::int64_t d = 0; d < pixels.size[0]; ++d) {
        for (std::int64_t h = 0; h < pixels.size[1]; h += lines) {
            const T* row = pixels.first + d * pixels.step[0] + h * pixels.step[1];
            T* const sums = product.sums + d * product.sums_step[0] + h * product.sums_step[1];
            const bool two = h + 1 < std::min(h + lines, pixels.size[1]);
            for (std::int64_t w = 0; w < width; w += run) {
                const std::int64_t cols = std::min(run, width - w);
                tile.left = row + w * pixels.step[2];
                tile.y = sums + w * product.sums_step[2];
                tile.rows = int(two ? 2 * cols : cols);
                tile.left_jump = std::ptrdiff_t(two ? pixels.step[1] : cols / 2 * pixels.step[2]);
                tile.y_jump = std::ptrdiff_t(two ? product.sums_step[1] : cols / 2 * product.sums_step[2]);
                tile.ahead = product.panel.base;
                tile.ahead_step = 0;
                if (product.ahead && fetched < product.vectors) {
                    tile.ahead = product.ahead + fetched++ * kernels.lanes;
                } else if (pieces && pieces->next < pieces->end) {
                    tile.ahead = pieces->take();
                    tile.ahead_step = std::ptrdiff_t(piece_step);
                }
                kernels.multiply_panel(tile);
            }
        }
    }
}

template <typename T>
bool all_finite(const Kernels<T>& kernels, const T* panel, int vectors, std::int64_t depth) noexcept {
    constexpr std::int64_t block = 64;
    constexpr int most_lanes = 16;
    static constexpr std::ptrdiff_t one_zero[block] = {};
    const std::int64_t width = vectors * kernels.lanes;
    std::ptrdiff_t offsets[block];
    for (std::int64_t d = 0; d < block; ++d) offsets[d] = std::ptrdiff_t(d * width);
    const T zero = 0;
    T sums[max_panel_vectors * most_lanes] = {};
    Tile<T> tile{&zero, 0, one_zero, nullptr, sums, 0, block, 1, int(width), true, nullptr};
    for (std::int64_t d = 0; d < depth; d += block) {
        const VectorOperand<T> part{panel + d * width, offsets};
        tile.right = &part;
        tile.depth = std::min(block, depth - d);
        tile.ahead = part.base;
        kernels.multiply_panel(tile);
    }
    return std::all_of(sums, sums + width, [](T sum) { return sum == 0; });
}

template bool all_finite<float>(const Kernels<float>&, const float*, int, std::int64_t) noexcept;
template bool all_finite<double>(const Kernels<double>&, const double*, int, std::int64_t) noexcept;
template void multiply<float>(const Kernels<float>&, const PixelProduct<float>&) noexcept;
template void multiply<double>(const Kernels<double>&, const PixelProduct<double>&) noexcept;
template void multiply<std::uint32_t>(const Kernels<std::uint32_t>&, const PixelProduct<std::uint32_t>&) noexcept;
template void multiply<float>(const Kernels<float>&, const ChannelProduct<float>&) noexcept;
template void multiply<double>(const Kernels<double>&, const ChannelProduct<double>&) noexcept;

}  // namespace flatconv
