// The contract of the kernels for a single pixel; a part of kernels/kernel_set.hpp.
#ifndef FLATCONV_KERNELS_ONE_PIXEL_ARGUMENTS_HPP
#define FLATCONV_KERNELS_ONE_PIXEL_ARGUMENTS_HPP

#include <stddef.h>
#include <stdint.h>

namespace flatconv {

/// The sums of some neighbouring channels over one block of depth: sums[c] = fma(x[d], weight of c and d, sums[c]) for
/// d = 0, 1, … in order, from 0.
template <typename T>
struct PixelChain {
    const T* x;
    const T* weights;  // those of d = 0
    T* sums;           // whole vectors
};

/// Some of them that go side by side: each would spend most of its time waiting for its own sums.
template <typename T>
struct PixelChains {
    const PixelChain<T>* chains;
    int count;
    int64_t depth;
    /// Of panels: the vectors of each; weights of c and d are at weights[d * vectors * lanes + c]. Of rows it is 1;
    /// they are at weights[c * row_stride + d], for a vector of channels, and where depth is less than `lanes`, so many
    /// numbers before those of depth 0 are read, too, as are missing.
    int vectors;
    ptrdiff_t row_stride;
};

}  // namespace flatconv

#endif
