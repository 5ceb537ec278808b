// The kernels for a single pixel: a matrix of weights times a vector, with lanes across channels.
#ifndef FLATCONV_KERNELS_ONE_PIXEL_KERNEL_HPP
#define FLATCONV_KERNELS_ONE_PIXEL_KERNEL_HPP

#include "kernels/packing.hpp"

namespace flatconv {
namespace {

template <typename Isa, int Vectors>
void chain_vectors(const PixelChains<typename Isa::Scalar>& chains) {
    using Scalar = typename Isa::Scalar;
    constexpr int width = Vectors * Isa::lanes;
    // Short enough for the CPU to look ahead into the runs of the other chains.
    constexpr int64_t run = 32;
    for (int64_t begin = 0; begin < chains.depth; begin += run) {
        const int64_t length = chains.depth - begin < run ? chains.depth - begin : run;
        for (int c = 0; c < chains.count; ++c) {
            const PixelChain<Scalar>& chain = chains.chains[c];
            const Scalar* weights = chain.weights + begin * width;
            const Scalar* const x = chain.x + begin;
            typename Isa::Vector sum[Vectors];
            unroll<Vectors>([&](auto v) {
                sum[v.value] = begin == 0 ? Isa::zero() : Isa::load(chain.sums + v.value * Isa::lanes);
            });
            for (int64_t d = 0; d < length; ++d, weights += width) {
                const typename Isa::Vector number = Isa::broadcast(x + d);
                unroll<Vectors>([&](auto v) {
                    sum[v.value] = Isa::fma(number, Isa::load(weights + v.value * Isa::lanes), sum[v.value]);
                });
            }
            unroll<Vectors>([&](auto v) { Isa::store(chain.sums + v.value * Isa::lanes, sum[v.value]); });
        }
    }
}

template <typename Isa>
void chain_panels(const PixelChains<typename Isa::Scalar>& chains) {
    return chains.vectors == 1 ? chain_vectors<Isa, 1>(chains) : chain_vectors<Isa, 2>(chains);
}

/// Squares of rows and depths are transposed in registers. Where all rows lie alike in their cache lines, squares begin
/// where lines do, from the second one on; the last one lies further back where it is not full. What a square has in
/// common with the one before is left out.
template <typename Isa>
void chain_rows(const PixelChains<typename Isa::Scalar>& chains) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes, each = lanes < 4 ? lanes : 4;
    const ptrdiff_t stride = chains.row_stride;
    const int64_t place = int64_t(reinterpret_cast<uintptr_t>(chains.chains->weights) / sizeof(Scalar)) % lanes;
    // That takes a square more.
    const int64_t back = stride % lanes == 0 && chains.depth > 16 * lanes ? place : 0;
    for (int64_t done = 0; done < chains.depth;) {
        const int64_t wanted = done == lanes ? done - back : done;
        const int64_t begin = wanted + lanes <= chains.depth ? wanted : chains.depth - lanes;
        const int64_t known = done - begin;
        for (int c = 0; c < chains.count; ++c) {
            const PixelChain<Scalar>& chain = chains.chains[c];
            typename Isa::Vector v[lanes];
            const Scalar* from = chain.weights + begin;
            unroll<lanes / each>([&](auto part) {
                unroll<each>([&](auto r) {
                    __builtin_prefetch(from + r.value * stride + lanes);
                    v[part.value * each + r.value] = Isa::load(from + r.value * stride);
                });
                from += each * stride;
                // A few rows share a pointer: an address for each would take more registers than there are.
                asm("" : "+r"(from));
            });
            transpose_square<Isa>(v);
            const Scalar* const x = chain.x + begin;
            typename Isa::Vector sum = done == 0 ? Isa::zero() : Isa::load(chain.sums);
            const auto add = [&](auto i) { sum = Isa::fma(Isa::broadcast(x + i.value), v[i.value], sum); };
            if (known == 0) {
                unroll<lanes>(add);
            } else {
                unroll<lanes>([&](auto i) {
                    if (i.value >= known) add(i);
                });
            }
            Isa::store(chain.sums, sum);
        }
        done = begin + lanes;
    }
}

}  // namespace
}  // namespace flatconv

#endif
