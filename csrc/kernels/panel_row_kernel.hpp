// The tile of a panel of one vector whose depth is kernel rows; kernels.hpp brings it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_PANEL_ROW_KERNEL_HPP
#define FLATCONV_KERNELS_PANEL_ROW_KERNEL_HPP

#include "kernels/micro_kernel.hpp"

namespace flatconv {
namespace {

/// With a pixel for each multiply-add, loads are the limit. So a pixel is loaded once for all elements of a kernel row
/// that read it. Shorter vectors are two or more for as many channels, and then there are two multiply-adds.
template <typename Isa>
constexpr bool shares_pixels = Isa::lanes == 16;

constexpr int shared_columns = 3;

/// Not every tile is worth its code: those of whole and half lines are, and other even ones without a stride.
constexpr bool has_shared_tile(int rows, int most, int step) {
    return rows == most || rows == most / 2 || (step == 1 && rows > most / 2 && rows % 2 == 0);
}

/// Two runs of pixels, or one of an odd number, which are `Step` elements apart. A pixel is loaded for the first
/// element that reads it, so that few wait in registers.
template <typename Isa, int Rows, int Step>
__attribute__((noinline)) void multiply_row_tile(const Tile<typename Isa::Scalar>& tile) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes, columns = shared_columns;
    constexpr int runs = Rows % 2 == 0 ? 2 : 1, run = Rows / runs;

    Vector acc[Rows][1];
    unroll<Rows>([&](auto r) { acc[r.value][0] = Isa::zero(); });
    const ptrdiff_t *left = tile.left_offsets, *right = tile.right->offsets;
    for (const ptrdiff_t* const end = left + tile.depth; left != end; left += columns, right += columns) {
        const Scalar* const weights = tile.right->base + *right;
        const Scalar* at[runs];
        at[0] = tile.left + *left;
        if constexpr (runs == 2) at[1] = at[0] + tile.left_jump;
        Vector pixels[runs][(run - 1) * Step + columns];
        unroll<columns>([&](auto k) __attribute__((always_inline)) {
            constexpr int column = decltype(k)::value;
            __builtin_prefetch(static_cast<const Scalar*>(tile.ahead) + *right + column * lanes, 0, 2);
            const Vector weight = Isa::load(weights + column * lanes);
            unroll<Rows>([&](auto r) __attribute__((always_inline)) {
                constexpr int of_run = decltype(r)::value / run, pixel = decltype(r)::value % run;
                constexpr int i = pixel * Step + column;
                Vector& number = pixels[of_run][i];
                if constexpr (column < Step || pixel == run - 1) number = Isa::broadcast(at[of_run] + i);
                acc[r.value][0] = Isa::fma(number, weight, acc[r.value][0]);
            });
        });
    }
    store_sums<Isa, false>(acc, lanes, tile.accumulate, tile.epilogue, [&](auto r) {
        return tile.y + (r.value % run) * tile.y_stride + r.value / run * tile.y_jump;
    });
}

/// Whether there is such a tile; then it is multiplied.
template <typename Isa, int Step, int Rows = Isa::panel_rows[0]>
FLATCONV_INLINE bool multiply_if_shared(const Tile<typename Isa::Scalar>& tile) {
    if constexpr (Rows == 0) {
        return false;
    } else {
        if constexpr (has_shared_tile(Rows, Isa::panel_rows[0], Step)) {
            if (tile.rows == Rows && tile.left_stride == Step) {
                multiply_row_tile<Isa, Rows, Step>(tile);
                return true;
            }
        }
        return multiply_if_shared<Isa, Step, Rows - 1>(tile);
    }
}

template <typename Isa>
void multiply_panel_or_rows(const Tile<typename Isa::Scalar>& tile) {
    if constexpr (shares_pixels<Isa>) {
        const bool shared = tile.left_columns == shared_columns && tile.cols == Isa::lanes;
        if (shared && (multiply_if_shared<Isa, 1>(tile) || multiply_if_shared<Isa, 2>(tile))) return;
    }
    multiply_panel<Isa>(tile);
}

}  // namespace
}  // namespace flatconv

#endif
