// The weights as the matrix they are, in the two orders that the micro-kernel reads: rows, one for each output channel,
// and panels, in which channels are neighbours.
#ifndef FLATCONV_GEMM_WEIGHTS_HPP
#define FLATCONV_GEMM_WEIGHTS_HPP

#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <cstddef>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "kernels/kernel_set.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Row-major, elements aligned; the micro-kernel broadcasts straight from it.
template <typename T>
struct WeightRows {
    const T* data;
    std::ptrdiff_t stride;  // from one row to the next, in elements
};

/// The sizes of a weight array. Its strides are always (out, in, kernel...), in whatever order they are in memory.
struct WeightSizes {
    std::int64_t groups;
    std::int64_t out_channels;  // of a group
    std::int64_t in_channels;   // of a group
    Extent kernel;
    /// The array is (groups · in, out of a group, kernel), as transposed convolutions have it.
    bool in_before_out = false;
    /// Where groups count as one here, though their rows lie at no one distance: the output channels of each; else 0.
    std::int64_t merged_rows = 0;

    /// How far the array's strides lead to an output channel of a group.
    std::int64_t row_at(const ByteStrides& strides, std::int64_t group, std::int64_t row) const {
        if (merged_rows > 0) return row / merged_rows * strides[1] + row % merged_rows * strides[0];
        return group * (in_before_out ? in_channels * strides[1] : out_channels * strides[0]) + row * strides[0];
    }

    std::int64_t rows() const { return groups * out_channels; }
    std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    std::int64_t depth() const { return in_channels * taps(); }
};

inline WeightSizes weight_sizes(const ConvShape& shape) noexcept {
    return {shape.groups, shape.out_channels, shape.in_channels, shape.kernel, shape.mirrored, 0};
}

/// The sizes that panels are made for: groups of a single input channel each are one group, so that lanes lie across
/// the channels of many of them.
inline WeightSizes panel_sizes(const WeightSizes& sizes) noexcept {
    if (sizes.in_channels != 1) return sizes;
    return {1, sizes.rows(), 1, sizes.kernel, sizes.in_before_out, sizes.in_before_out ? sizes.out_channels : 0};
}

/// Whether the array can be read as rows where it lies: each row dense, and everything aligned to elements.
template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept;

/// The same of complex weights; `sizes` are theirs.
template <typename T>
bool lies_in_complex_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept;

/// Elements between packed rows: whole cache lines, an odd number of them, because rows at a distance of a large power
/// of two would compete for the same few sets of the cache.
template <typename T>
std::ptrdiff_t packed_row_stride(std::int64_t depth) noexcept {
    const std::int64_t per_line = 64 / std::int64_t(sizeof(T));
    return std::ptrdiff_t((ceil_div(depth, per_line) | 1) * per_line);
}

/// Gathers row `row` of any array into dense memory. `half` reads the array where it holds halves; else it is null.
template <typename T>
void pack_row(const HalfKernels<T>* half, const WeightSizes& sizes, const ConstArray& weight, std::int64_t row,
              T* packed) noexcept;

/// The same of bfloat16, whose kernels have words of pairs. Returns the least exponent.
int pack_pairs(const KernelSet& kernels, const WeightSizes& sizes, const ConstArray& weight, std::int64_t row,
               float* packed) noexcept;

inline std::int64_t words_of_pairs(std::int64_t depth) noexcept { return ceil_div(depth, 2); }

/// Makes of complex weights the real ones that do the same to channels of real numbers, the real part and the imaginary
/// one of each complex channel: of w, or of its conjugate, the matrix ((re w, −im w), (im w, re w)). `sizes` are those
/// of the complex weights; `packed` are two rows, `stride` apart, of complex row `row`.
template <typename T>
void expand_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, bool conjugates, T* packed,
                std::ptrdiff_t stride) noexcept;

/// How the output channels of a group are cut into panels. A panel holds its channels side by side, for every depth:
/// d = 0: c0 c1 c2 … | d = 1: c0 c1 c2 … | …, in whole vectors, and zeros where the last one is not full.
struct PanelLayout {
    std::int64_t depth;
    std::int64_t rows;   // of a group
    std::int64_t width;  // of a panel, but for the last one of a group
    std::int64_t lanes;

    template <typename T>
    PanelLayout(const WeightSizes& sizes, const Kernels<T>& kernels)
        : depth(sizes.depth()),
          rows(sizes.out_channels),
          width(kernels.panel_vectors * kernels.lanes),
          lanes(kernels.lanes) {}

    std::int64_t panels() const { return ceil_div(rows, width); }
    std::int64_t width_of(std::int64_t panel) const { return std::min(width, round_up(rows, lanes) - panel * width); }
    /// Whether any panel is that wide.
    bool has_width(std::int64_t wanted) const { return wanted == width_of(0) || wanted == width_of(panels() - 1); }
    std::int64_t group_elements() const { return round_up(rows, lanes) * depth; }

    /// Where a panel begins.
    std::int64_t at(std::int64_t group, std::int64_t panel) const {
        return group * group_elements() + panel * width * depth;
    }
};

/// Brings some depths of one panel of one group into their order; `half` as above. Complex weights that lie in rows
/// become real ones on their way, as expand_row makes them of w itself.
template <typename T>
void pack_panel(const Kernels<T>& kernels, const HalfKernels<T>* half, const WeightSizes& sizes,
                const ConstArray& weight, std::int64_t group, std::int64_t panel, std::int64_t first_depth,
                std::int64_t depth, T* packed) noexcept;

/// Weights and bias of a layer that is called many times, in both orders.
struct PackedWeights {
    const KernelSet* kernels;  // that the panels are made for
    const std::byte* rows;
    std::ptrdiff_t row_stride;  // in elements: packed_row_stride, or a multiple where parts of a layer take turns
    const std::byte* panels;
    bool finite;            // all weights are
    const std::byte* bias;  // dense, zeros where there is none
    const float* pairs;  // rows of words, packed_row_stride of their number apart, where `kernels` have pairs; or null
    int least_exponent;  // of theirs; see PairKernels
};

}  // namespace flatconv

#endif
