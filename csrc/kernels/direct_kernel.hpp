// The kernel for few output channels, which convolves rows of pixels without a region matrix; kernels.hpp brings it
// into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_DIRECT_KERNEL_HPP
#define FLATCONV_KERNELS_DIRECT_KERNEL_HPP

#include "kernels/micro_kernel.hpp"

namespace flatconv {
namespace {

/// Channels × Rows × Vectors sums: `Rows` neighbouring rows of output pixels, for each of `Channels`.
///
/// Where a kernel's rows lie as far apart as the output's, a row of the band serves as kernel row i for the first row
/// of the tile, as i - 1 for the second, and so on: it is loaded once for all of them.
template <typename Isa, int Channels, int Rows, int Vectors>
void convolve_tile(const DirectTile<typename Isa::Scalar>& tile) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;

    Vector acc[Channels * Rows][Vectors];  // channel by channel
    unroll<Channels * Rows>([&](auto r) { unroll<Vectors>([&](auto v) { acc[r.value][v.value] = Isa::zero(); }); });

    // Adds what one row of the band contributes to `count` rows of the tile, from `first` on. For the first of them it
    // is the kernel row at `weights`, for each further one the kernel row before that.
    const auto convolve_row = [&](auto first, auto count, const Scalar* row, const Scalar* weights,
                                  const KernelRows& kernel) __attribute__((always_inline)) {
        const ptrdiff_t* const columns = tile.columns + kernel.first_column;
        for (int64_t k = 0; k < kernel.columns; ++k) {
            const Scalar* from = row + columns[k];
            Vector pixels[Vectors];
            unroll<Vectors>([&](auto v) { pixels[v.value] = Isa::load(from + v.value * lanes); });
            unroll<decltype(count)::value>([&](auto i) {
                constexpr int r = decltype(first)::value + decltype(i)::value;
                unroll<Channels>([&](auto c) {
                    const Vector weight =
                        Isa::broadcast(weights + c.value * tile.weights_stride - i.value * kernel.columns + k);
                    unroll<Vectors>([&](auto v) {
                        Vector& sum = acc[c.value * Rows + r][v.value];
                        sum = Isa::fma(weight, pixels[v.value], sum);
                    });
                });
            });
        }
    };
    for (int64_t s = 0; s < tile.kernel_row_runs; ++s) {
        const KernelRows& kernel = tile.kernel_rows[s];
        const Scalar* row = tile.band + kernel.offset;
        const Scalar* weights = tile.weights + kernel.depth;
        if (kernel.rows >= Rows) {
            // The first rows of the band are not yet kernel rows of the tile's last rows,
            unroll<Rows - 1>([&](auto i) {
                convolve_row(Constant<0>{}, Constant<decltype(i)::value + 1>{}, row, weights, kernel);
                row += tile.row_step;
                weights += kernel.columns;
            });
            for (int64_t i = Rows - 1; i < kernel.rows; ++i) {
                convolve_row(Constant<0>{}, Constant<Rows>{}, row, weights, kernel);
                row += tile.row_step;
                weights += kernel.columns;
            }
            // and the last ones no longer of its first.
            weights -= kernel.columns;
            unroll<Rows - 1>([&](auto i) {
                constexpr int first = decltype(i)::value + 1;
                convolve_row(Constant<first>{}, Constant<Rows - first>{}, row, weights, kernel);
                row += tile.row_step;
            });
        } else {
            for (int64_t i = 0; i < kernel.rows; ++i) {
                unroll<Rows>(
                    [&](auto r) { convolve_row(r, Constant<1>{}, row + r.value * tile.row_step, weights, kernel); });
                row += tile.row_step;
                weights += kernel.columns;
            }
        }
    }

    store_sums<Isa, true, Rows>(
        acc, tile.cols - (Vectors - 1) * lanes, tile.accumulate, tile.epilogue,
        [&](auto r) { return tile.y + r.value / Rows * tile.y_channel_stride + r.value % Rows * tile.y_row_stride; },
        tile.residual_row_stride);
}

/// The tiles that convolve chooses from: as many rows as leave registers for a few vectors of pixels.
template <typename Isa, int Channels, int Rows>
void convolve_vectors(const DirectTile<typename Isa::Scalar>& tile) {
    const int vectors = (tile.cols + Isa::lanes - 1) / Isa::lanes;
    if (vectors == 1) return convolve_tile<Isa, Channels, Rows, 1>(tile);
    if constexpr (Isa::direct_vectors > 2) {
        if (vectors > 2) return convolve_tile<Isa, Channels, Rows, Isa::direct_vectors>(tile);
    }
    return convolve_tile<Isa, Channels, Rows, 2>(tile);
}

template <typename Isa, int Channels>
void convolve_rows(const DirectTile<typename Isa::Scalar>& tile) {
    constexpr int most = direct_rows[Channels - 1];
    if (most >= 3 && tile.rows == 3) return convolve_vectors<Isa, Channels, most >= 3 ? 3 : 1>(tile);
    if (most >= 2 && tile.rows == 2) return convolve_vectors<Isa, Channels, most >= 2 ? 2 : 1>(tile);
    return convolve_vectors<Isa, Channels, 1>(tile);
}

template <typename Isa>
void convolve(const DirectTile<typename Isa::Scalar>& tile) {
    switch (tile.channels) {
        case 1: convolve_rows<Isa, 1>(tile); break;
        case 2: convolve_rows<Isa, 2>(tile); break;
        case 3: convolve_rows<Isa, 3>(tile); break;
        default: convolve_rows<Isa, 4>(tile); break;
    }
    for (int c = 0; c < tile.channels; ++c) {
        bend_stored<Isa>(tile.epilogue, tile.y + c * tile.y_channel_stride, tile.y_row_stride, tile.rows, tile.cols);
    }
}

}  // namespace
}  // namespace flatconv

#endif
