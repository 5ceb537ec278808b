// The arguments of the kernel that interleaves the phases of a transposed convolution; part of kernels/kernel_set.hpp.
#ifndef FLATCONV_KERNELS_INTERLEAVING_ARGUMENTS_HPP
#define FLATCONV_KERNELS_INTERLEAVING_ARGUMENTS_HPP

#include <stddef.h>
#include <stdint.h>

namespace flatconv {

template <typename T>
struct Epilogue;

/// Matrices whose columns take turns: to[r * to_stride + c * count + k] = from[k][r * from_stride + c], finished, where
/// `cols` are those of `to`. All rows are of one output channel; the residual lies like `to`. `from` is read by whole
/// vectors.
template <typename T>
struct Interleaving {
    const T* const* from;
    int count;
    ptrdiff_t from_stride;
    int64_t rows, cols;
    T* to;
    ptrdiff_t to_stride;
    const Epilogue<T>* epilogue;  // or null
    bool passes_caches = false;   // what are whole lines of the caches goes straight to memory, unfenced
};

}  // namespace flatconv

#endif
