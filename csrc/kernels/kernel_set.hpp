// The contract between the loops and the machine: what one instruction set's kernels are given and must do.
//
// One micro-kernel call computes a tile of a product, rows × cols, over one block of depth. The left operand gives one
// number for each row and depth, which is broadcast; the right one gives vectors of columns. Accumulators stay in
// registers from the first multiply-add to the store:
//
//                                     right: for each d the vectors of columns,
//                                     d = 0: | …  …  …  … |    wherever base and offsets say they lie
//                                     d = 1: | …  …  …  … |
//      left                              :         :           each element: acc = fma(left, right, acc),
//      row 0: d = 0 1 2 …             ┌──────────────┐         d = 0, 1, ... in order, from acc = 0;
//      row 1: d = 0 1 2 …             │ accumulators │ → y     then y + acc when accumulating, else acc;
//        :                            └──────────────┘         then the epilogue, when there is one
//
// So the same kernel serves two orientations: lanes across pixels (left: weights, right: regions) and lanes across
// channels (left: pixels, right: weights packed into panels).
//
// Tile sizes travel with the function pointers, because neither means anything without the other.
#ifndef FLATCONV_KERNELS_KERNEL_SET_HPP
#define FLATCONV_KERNELS_KERNEL_SET_HPP

#include <stddef.h>
#include <stdint.h>

#include "kernels/channelwise_arguments.hpp"
#include "kernels/interleaving_arguments.hpp"
#include "kernels/one_pixel_arguments.hpp"

namespace flatconv {

/// An activation that is more than two bounds; kernels/curves.hpp.
enum class Curve { none, leaky_relu, sigmoid, tanh, silu, gelu, hardswish };

/// What becomes of a finished sum: + bias, + residual, then kept between low and high (a NaN stays one), then bent.
///
/// A curve takes too many registers to be part of a tile's store: kernels apply it to what they have stored, while that
/// is in the first-level cache.
template <typename T>
struct Epilogue {
    const T* bias;              // one for each output channel of the tile, never −0
    const T* residual;          // like y; or null
    ptrdiff_t residual_stride;  // from one row of y to the next
    bool clamps;
    T low, high;
    Curve curve = Curve::none;
    T slope = 0;  // of leaky_relu
};

/// A vector of columns for every depth of the block.
template <typename T>
struct VectorOperand {
    const T* base;
    const ptrdiff_t* offsets;  // in elements, one for each d
};

/// The arguments of one micro-kernel call. Strides count elements; `y` needs no alignment beyond its element's.
///
/// For `multiply_panel`, an even number of rows are two runs of half as many, each a stride after the one before, and
/// the second run a jump after the first: two short lines of pixels, or one.
template <typename T>
struct Tile {
    const T* left;  // of row r and depth d: left[r * left_stride + left_offsets[d]], for `multiply` … + d]
    ptrdiff_t left_stride;
    const ptrdiff_t* left_offsets;
    const VectorOperand<T>* right;  // read whole, lanes beyond cols are not used
    T* y;
    ptrdiff_t y_stride;
    int64_t depth;
    int rows;                             // 1 … the most for this number of vectors
    int cols;                             // 1 … vectors · lanes; nothing beyond is written
    bool accumulate;                      // y holds the sum of the earlier depth blocks
    const Epilogue<T>* epilogue;          // on the last block: rows are output channels; or null
    ptrdiff_t left_jump = 0, y_jump = 0;  // of a panel
    int left_columns = 0;                 // of a panel: depth is rows of so many neighbouring elements; or anything: 0
    const void* ahead = nullptr;          // of a panel: what lies alike from here on comes into a cache meanwhile,
    ptrdiff_t ahead_step = 0;             // or what lies so many bytes further with each depth; or 0
};

/// Some neighbouring pixels on their way into a packed vector.
struct PixelCopy {
    ptrdiff_t source;  // in the padded band, relative to a depth's offset
    ptrdiff_t target;  // lane
};

/// The arguments of pack_vector: for each d, copies pixels from band + offsets[d] + source to lane target of row d.
///
/// Every copy moves `lanes` elements, and what is too much the next one, or the next row, overwrites. So a packed
/// vector needs room for one more behind its last row, and copies must come in the order of their targets.
template <typename T>
struct VectorPacking {
    const T* band;
    const ptrdiff_t* offsets;
    int64_t depth;
    const PixelCopy* copies;
    int copy_count;
    T* packed;  // depth × lanes
};

/// A matrix on its way into another order: `to` row c, column r = `from` row r, column c. Strides count elements.
template <typename T>
struct Transposition {
    const T* from;
    ptrdiff_t from_stride;
    int64_t rows, cols;  // of `from`
    T* to;
    ptrdiff_t to_stride;
    const Epilogue<T>* epilogue;  // rows of `to` are output channels; or null
    bool passes_caches = false;   // `to`, whose rows are whole lines of the caches, goes straight to memory, unfenced
};

/// Some rows of an image on their way into a band: to[r * to_stride + c] = from[r * from_stride + c * from_step].
template <typename T>
struct BlockCopy {
    const T* from;
    ptrdiff_t from_stride;
    ptrdiff_t from_step;
    int64_t rows, cols;
    T* to;
    ptrdiff_t to_stride;
    ptrdiff_t next = 0;  // from these rows to others that are soon copied too, and are fetched meanwhile
};

/// Finished sums on their way to y in the same order: rows are pixels, columns output channels.
template <typename T>
struct RowFinish {
    const T* from;
    ptrdiff_t from_stride;
    int64_t rows, cols;
    T* to;
    ptrdiff_t to_stride;
    const Epilogue<T>* epilogue;
};

/// Finished sums that are bent where they lie: y[r * y_stride + c].
template <typename T>
struct Bending {
    T* y;
    ptrdiff_t y_stride;
    int64_t rows, cols;
    Curve curve;
    T slope;
};

/// Some rows of the kernel, for one channel: `rows` of them, as far apart in the band as the tile's rows of pixels,
/// each `columns` long from `first_column` on. The first element of the first row is `depth` of the block, the others
/// follow.
struct KernelRows {
    ptrdiff_t offset;  // in the band, of the first row for the tile's first row of pixels
    int64_t depth;
    int64_t rows;
    int64_t first_column;
    int64_t columns;
};

/// The arguments of one call of the direct kernel, which computes rows of pixels for few output channels from a padded
/// band: the same sums in the same order as the micro-kernel's. Strides count elements.
template <typename T>
struct DirectTile {
    const T* band;
    ptrdiff_t row_step;        // from a row of pixels to the next, in the band
    const ptrdiff_t* columns;  // where each column of the kernel finds its pixels, relative to its row
    const KernelRows* kernel_rows;
    int64_t kernel_row_runs;
    const T* weights;  // of channel c and depth d: weights[c * weights_stride + d]
    ptrdiff_t weights_stride;
    T* y;
    ptrdiff_t y_channel_stride;
    ptrdiff_t y_row_stride;
    int channels;  // 1 … 4
    int rows;      // 1 … direct_rows[channels - 1]
    int cols;      // in one vector, two, or as many as direct_cols has; these are read whole, nothing beyond is written
    bool accumulate;  // y holds the sum of the earlier depth blocks
    const Epilogue<T>* epilogue;
    ptrdiff_t residual_row_stride;
};

/// The rows of the largest direct tile, by its channels - 1.
inline constexpr int max_direct_channels = 4;
inline constexpr int direct_rows[max_direct_channels] = {3, 2, 2, 1};

inline constexpr int max_panel_vectors = 2;

template <typename T>
struct Kernels {
    int lanes;

    /// The tile whose vectors lie anywhere: at most tile_rows × tile_cols.
    int tile_rows;
    int tile_cols;  // a multiple of lanes
    void (*multiply)(const Tile<T>&);

    /// The tile whose vectors are neighbours, vector v at right->base + right->offsets[d] + v * lanes: at most
    /// panel_vectors of them, and then panel_rows[vectors - 1] rows. `cols` is a multiple of lanes, and there is no
    /// epilogue.
    int panel_vectors;
    int panel_rows[max_panel_vectors];
    void (*multiply_panel)(const Tile<T>&);

    /// Direct tiles have at most direct_cols columns, a multiple of lanes.
    int direct_cols;
    void (*convolve)(const DirectTile<T>&);

    void (*convolve_image)(const ImageConvolution<T>&);   // or null
    bool keeps_small_images;                              // it keeps those of is_small_image in registers
    void (*transpose_image)(const ImageConvolution<T>&);  // or null; x and y are those of the transpose

    void (*spread_pixels)(const PixelSpread<T>&);
    void (*convolve_channelwise)(const ChannelwisePlane<T>&);
    bool picks_channels;  // it has places, for rows of three elements and pixels one or two positions apart
    void (*convolve_columns)(const ChannelColumns<T>&);  // or null
    void (*channelwise_gradient)(const ChannelwiseGradient<T>&);

    void (*chain_panels)(const PixelChains<T>&);
    void (*chain_rows)(const PixelChains<T>&);

    void (*pack_vector)(const VectorPacking<T>&);
    void (*transpose)(const Transposition<T>&);
    void (*finish_rows)(const RowFinish<T>&);
    void (*bend)(const Bending<T>&);

    void (*copy_block)(const BlockCopy<T>&);
    void (*interleave)(const Interleaving<T>&);

    /// Fused multiply-adds on registers alone, for measuring the machine: 2 · lanes · chains · steps operations.
    T (*multiply_add_chains)(int64_t steps);
    int chains;
};

/// Rows of bytes on their way into words of 32 bits, in which `group` channels are neighbours, from the lowest bits on:
/// for each k, to[r * to_stride + c] holds from[k * channel_stride + r * from_stride + c * from_step], its bits xor
/// `flip`, and then as a signed or an unsigned number of 32 / group bits. Channels that are absent hold 0.
struct ByteInterleave {
    const uint8_t* from;
    ptrdiff_t channel_stride;
    int channels;  // 1 … group
    ptrdiff_t from_stride;
    ptrdiff_t from_step;
    int64_t rows, cols;
    uint32_t* to;
    ptrdiff_t to_stride;
    uint8_t flip;
    bool is_signed;
};

/// Integer sums on their way to y, rows × cols. A sum becomes
///
///     sum + added[row] - factors[row] * region_sums[col]        modulo 2^32, without the last term where that is null
///
/// and, to be a byte, that as a signed number, rounded to a float, times scales[row], kept between low and high, which
/// are integers, rounded to the nearest integer (of two, the even one), + zero_point.
struct SumFinish {
    const uint32_t* sums;
    ptrdiff_t sums_stride;
    int64_t rows, cols;
    const uint32_t* added;
    const uint32_t *factors, *region_sums;
    const float* scales;
    float low, high;
    int32_t zero_point;
};

/// The kernels of integer convolutions. Their operands are words of `group` small integers, which one multiply-add
/// multiplies pair by pair and adds to one sum of 32 bits: signed numbers on the left (weights), unsigned ones on the
/// right (regions), each of eight bits' range. All is exact modulo 2^32.
struct ByteKernels {
    int group;  // 4 bytes, or 2 numbers of 16 bits

    /// `lanes`, `multiply` and its tile, and `pack_vector`; the others are null.
    Kernels<uint32_t> words;

    void (*convolve_image)(const ByteImageConvolution&);  // or null

    void (*interleave)(const ByteInterleave&);

    /// The sum of all numbers in so many words, which are signed.
    uint32_t (*sum)(const uint32_t* words, int64_t count);

    void (*finish_sums)(const SumFinish&, uint32_t* y, ptrdiff_t y_stride);
    void (*requantize)(const SumFinish&, uint8_t* y, ptrdiff_t y_stride);
};

/// Rows of stored numbers on their way to those that are computed with: to[r * to_stride + c] is the number at
/// from + r * from_stride + c * from_step. On the side of what is stored, distances count bytes, of any number, and
/// nothing needs to be aligned.
template <typename T>
struct Widening {
    const void* from;
    ptrdiff_t from_stride, from_step;
    int64_t rows, cols;
    T* to;
    ptrdiff_t to_stride;
    ptrdiff_t next = 0;  // from these rows to others that are soon read too, and are fetched meanwhile
};

/// The way back, rounding to nearest even.
template <typename T>
struct Narrowing {
    const T* from;
    ptrdiff_t from_stride;
    int64_t rows, cols;
    void* to;
    ptrdiff_t to_stride, to_step;
    const Epilogue<T>* epilogue = nullptr;  // of rows that are output channels: without residual and curve; or null
};

inline constexpr int half_bytes = 2;

/// How numbers of 16 bits are read and written. All else computes with T, which has room for every one of them.
template <typename T>
struct HalfKernels {
    void (*widen)(const Widening<T>&);
    void (*narrow)(const Narrowing<T>&);
    /// Kernels::convolve_image where x and y hold halves, for what convolves_halves allows, without residual and curve;
    /// or null.
    void (*convolve_image)(const ImageConvolution<T>&) = nullptr;
};

/// Halves on their way into words of two: for each r and c, to[r * to_stride + c] has that at first + r * from_stride +
/// c * from_step in its upper half, and in its lower one that `second` further, or 0 where there is none. On the side
/// of what is stored, distances count bytes, and nothing needs to be aligned.
struct HalfJoin {
    const void* first;
    ptrdiff_t second;
    bool has_second;
    ptrdiff_t from_stride, from_step;
    int64_t rows, cols;
    float* to;
    ptrdiff_t to_stride;
    ptrdiff_t next = 0;  // from these to others that are soon joined too, and are fetched meanwhile
};

/// What is larger than any exponent.
inline constexpr int no_exponent = 255;

/// The kernels of bfloat16 by the CPU's own dot product. A word, which is called a float here, holds two numbers of
/// consecutive depths, the earlier one in its upper half. One instruction adds the product of the upper halves to a
/// sum, then that of the lower ones, each step rounded like a fused multiply-add of float32: the same chain, but for
/// subnormal numbers, which are zeros to it.
struct PairKernels {
    /// Those of float32, but `multiply` reads words, and computes float sums. Null where there is no such instruction.
    Kernels<float> words{};
    /// The same, with a `pack_vector` that finds halves in the band, as which it counts, too: it makes words of each
    /// two depths, or of the last one and a zero.
    Kernels<float> joining{};
    /// Bring halves as they are into a band.
    HalfKernels<uint16_t> copying{};
    void (*join)(const float* numbers, int64_t count, float* words) = nullptr;  // floats of bfloat16's precision
    /// These return the smallest biased exponent, zeros apart: 0 where a number is subnormal, no_exponent without any.
    int (*join_halves)(const HalfJoin&) = nullptr;
    int (*least_exponent)(const float* numbers, int64_t count) = nullptr;
    int (*least_exponent_of_halves)(const uint16_t* halves, int64_t count) = nullptr;
};

/// What the CPU and the operating system must offer, as bits.
enum CpuFeature : unsigned {
    cpu_baseline = 0,
    cpu_avx2_fma = 1u << 0,
    cpu_avx512 = 1u << 1,
    cpu_avx512_vnni = 1u << 2,
    cpu_f16c = 1u << 3,
    cpu_avx512_bf16 = 1u << 4,
};

struct KernelSet {
    const char* name;
    unsigned features;
    Kernels<float> float32;
    Kernels<double> float64;
    ByteKernels bytes;
    HalfKernels<float> float16;
    HalfKernels<float> bfloat16;
    PairKernels pairs{};
};

template <typename T>
const Kernels<T>& kernels_of(const KernelSet& set);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelSet& set) {
    return set.float32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelSet& set) {
    return set.float64;
}
template <>
inline const Kernels<uint32_t>& kernels_of<uint32_t>(const KernelSet& set) {
    return set.bytes.words;
}

}  // namespace flatconv

#endif
