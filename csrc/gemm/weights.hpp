// The weights as the matrix they are: one row for each output channel, one column for each (channel, kernel element).
#ifndef FLATCONV_GEMM_WEIGHTS_HPP
#define FLATCONV_GEMM_WEIGHTS_HPP

#include <flatconv/flatconv.hpp>

#include <cstddef>

#include "base/checked.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Row-major, elements aligned; the micro-kernel broadcasts straight from it.
template <typename T>
struct WeightRows {
    const T* data;
    std::ptrdiff_t stride;  // from one row to the next, in elements
};

/// The sizes of a weight array; `out_channels` are those of all groups, `in_channels` those of one.
struct WeightSizes {
    std::int64_t out_channels;
    std::int64_t in_channels;
    Extent kernel;
};

inline WeightSizes weight_sizes(const ConvShape& shape) noexcept {
    return {shape.groups * shape.out_channels, shape.in_channels, shape.kernel};
}

/// Whether the array can be read as rows where it lies: each row dense, and everything aligned to elements.
template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept;

/// Elements between packed rows: whole cache lines, an odd number of them, because rows at a distance of a large power
/// of two would compete for the same few sets of the cache.
template <typename T>
std::ptrdiff_t packed_row_stride(std::int64_t depth) noexcept {
    const std::int64_t per_line = 64 / std::int64_t(sizeof(T));
    return std::ptrdiff_t((ceil_div(depth, per_line) | 1) * per_line);
}

/// Gathers row `row` of any array into dense memory.
template <typename T>
void pack_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, T* packed) noexcept;

}  // namespace flatconv

#endif
