// The product over one block of depth, for one band of the output; called for each block by conv/band_product.hpp.
#ifndef FLATCONV_GEMM_GEMM_HPP
#define FLATCONV_GEMM_GEMM_HPP

#include <cstddef>
#include <cstdint>

#include "gemm/weights.hpp"
#include "kernels/kernel_set.hpp"

namespace flatconv {

/// Where a band of the output lies: rows are output channels, columns are pixels.
template <typename T>
struct OutputBand {
    std::byte* data;
    std::int64_t row_stride;  // in bytes
    /// For each pixel, bytes from `data`; null where pixels are consecutive elements and rows whole elements apart.
    const std::int64_t* pixel_at;
};

template <typename T>
struct BlockProduct {
    WeightRows<T> weights;  // from the block's first row and depth on
    std::int64_t rows;
    const RegionVector<T>* regions;  // `lanes` pixels each
    std::int64_t cols;
    std::int64_t depth;
    OutputBand<T> y;
    bool accumulate;  // y holds the sum of the earlier blocks
    const T* bias;    // of the block's rows, on the last block; or null
    T* scratch;       // one tile, for outputs that the micro-kernel cannot write where they lie
};

/// y = weights · regions, or y + that.
template <typename T>
void multiply_block(const Kernels<T>& kernels, const BlockProduct<T>& product) noexcept;

}  // namespace flatconv

#endif
