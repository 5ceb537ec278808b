// The contract between the loops and the machine: what one instruction set's kernels are given and must do.
//
// One micro-kernel call computes a tile of the product, `rows` output channels × `cols` output pixels, over one block
// of depth. Its accumulators stay in registers from the first multiply-add to the store:
//
//                        regions: a vector of pixels for each column of vectors and each d,
//                        d = 0: | base[offsets[0]] … |     wherever base and offsets say it lies
//                        d = 1: | base[offsets[1]] … |
//      weights              :            :                 each element: acc = fma(weight, region, acc),
//      row 0: d = 0 1 2 …  ┌──────────────────┐            d = 0, 1, ... in order, from acc = 0;
//      row 1: d = 0 1 2 …  │   accumulators   │ → y        then y + acc when accumulating, else acc;
//        :                 └──────────────────┘            then + bias of the row, when there is one
//
// Tile sizes travel with the function pointers, because neither means anything without the other.
#ifndef FLATCONV_KERNELS_KERNEL_SET_HPP
#define FLATCONV_KERNELS_KERNEL_SET_HPP

#include <stddef.h>
#include <stdint.h>

namespace flatconv {

/// One column of vectors: `lanes` neighbouring pixels, for every depth of the block.
template <typename T>
struct RegionVector {
    const T* base;
    const ptrdiff_t* offsets;  // in elements, one for each d
};

/// The arguments of one micro-kernel call. Strides count elements; `y` needs no alignment beyond its element's.
template <typename T>
struct Tile {
    const T* weights;                // row-major: broadcast one by one, so that unpacked weights serve as they are
    ptrdiff_t weights_stride;        // from one row to the next
    const RegionVector<T>* regions;  // one for each vector of cols; read whole, lanes beyond cols are not used
    T* y;
    ptrdiff_t y_stride;
    int64_t depth;
    int rows;         // 1 … tile_rows
    int cols;         // 1 … tile_cols; nothing beyond is written
    bool accumulate;  // y holds the sum of the earlier depth blocks
    const T* bias;    // one for each row, or null
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

template <typename T>
struct Kernels {
    int tile_rows;
    int tile_cols;  // a multiple of lanes
    int lanes;
    void (*multiply)(const Tile<T>&);
    void (*pack_vector)(const VectorPacking<T>&);

    /// Fused multiply-adds on registers alone, for measuring the machine: 2 · lanes · chains · steps operations.
    T (*multiply_add_chains)(int64_t steps);
    int chains;
};

/// What the CPU and the operating system must offer, as bits.
enum CpuFeature : unsigned {
    cpu_baseline = 0,
    cpu_avx2_fma = 1u << 0,
    cpu_avx512 = 1u << 1,
};

struct KernelSet {
    const char* name;
    unsigned features;
    Kernels<float> float32;
    Kernels<double> float64;
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

}  // namespace flatconv

#endif
