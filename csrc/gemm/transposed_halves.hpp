// Halves that are transposed on their way: a small part of the matrix at a time is numbers, and stays in the cache.
#ifndef FLATCONV_GEMM_TRANSPOSED_HALVES_HPP
#define FLATCONV_GEMM_TRANSPOSED_HALVES_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_set.hpp"

namespace flatconv {

/// A few rows, of a length that does not make them compete for the same sets of the cache.
inline constexpr std::int64_t most_rows_at_once = 16, most_cols_at_once = 80;

/// Column c, row r of `to` becomes row r, column c of a matrix of halves, of which `read(first_row, rows, first_col,
/// cols, numbers, stride)` widens a part.
template <typename T, typename Read>
void widen_transposed(const Kernels<T>& kernels, std::int64_t rows, std::int64_t cols, T* to, std::int64_t to_stride,
                      const Read& read) {
    T part[most_rows_at_once * most_cols_at_once];
    for (std::int64_t r = 0; r < rows; r += most_rows_at_once) {
        const std::int64_t some_rows = std::min(most_rows_at_once, rows - r);
        for (std::int64_t c = 0; c < cols; c += most_cols_at_once) {
            const std::int64_t some_cols = std::min(most_cols_at_once, cols - c);
            read(r, some_rows, c, some_cols, part, most_cols_at_once);
            kernels.transpose({part, most_cols_at_once, some_rows, some_cols, to + c * to_stride + r,
                               std::ptrdiff_t(to_stride), nullptr});
        }
    }
}

/// The way back: row c, column r of the halves at `to` becomes row r, column c of `from`. `to_stride` counts bytes.
template <typename T>
void narrow_transposed(const Kernels<T>& kernels, const HalfKernels<T>& half, const T* from, std::int64_t from_stride,
                       std::int64_t rows, std::int64_t cols, std::byte* to, std::int64_t to_stride) {
    T part[most_rows_at_once * most_cols_at_once];
    for (std::int64_t c = 0; c < cols; c += most_rows_at_once) {
        const std::int64_t some_cols = std::min(most_rows_at_once, cols - c);
        for (std::int64_t r = 0; r < rows; r += most_cols_at_once) {
            const std::int64_t some_rows = std::min(most_cols_at_once, rows - r);
            kernels.transpose({from + r * from_stride + c, std::ptrdiff_t(from_stride), some_rows, some_cols, part,
                               most_cols_at_once, nullptr});
            half.narrow({part, most_cols_at_once, some_cols, some_rows, to + c * to_stride + r * half_bytes,
                         std::ptrdiff_t(to_stride), half_bytes});
        }
    }
}

}  // namespace flatconv

#endif
