// The kernels, written once: each kernels_<isa>.cpp includes this file and compiles it for its instruction set.
//
// `Isa` names the machine's vectors and the tiles that fill its registers:
//
//     using Scalar, Vector;  lanes, tile_rows, tile_vectors, panel_vectors, panel_rows[], direct_vectors,
//     channelwise_pixels, registers, image_vectors (or 0), chains, block_lanes
//     zero(), broadcast(const Scalar*), load(const Scalar*), store(Scalar*, Vector), add(a, b), fma(a, b, c)
//     max(a, b), min(a, b)                          b where either is a NaN
//     load_first(const Scalar*, n), store_first(Scalar*, Vector, n)     the first n lanes, 0 < n <= lanes
//     zip_low(a, b), zip_high(a, b)                 a0 b0 a1 b1 …, from the lower and from the upper halves
//     zip_low_in_blocks(a, b), zip_high_in_blocks(a, b)     the same in each of several blocks of `block_lanes`;
//     even_blocks(a, b), odd_blocks(a, b)           a's blocks 0, 2 …, then b's; a's 1, 3 …, then b's
//     even(a, b), odd(a, b)                         a0 a2 … b0 b2 …, a1 a3 … b1 b3 …
//     align<n>(a, b)                                a[n] … b[n - 1], 0 < n < lanes
//     using Lanes; between(begin, end)              0 <= begin, end <= lanes; none where begin >= end
//     load_masked(const Scalar*, Lanes)             zeros in all other lanes; where masks_loads
//     using Places; load_places(const int32_t*), pick(v, places)     lanes in another order; where picks; and there
//     shift_halves<n>(v)                            v[n] v[n + 1] … in each half, -lanes / 2 < n < lanes / 2, and zeros
//     sub(a, b), mul(a, b), div(a, b)
//     select_less(a, b, x, y)                       x where a < b, else y, also where either is a NaN
//     stream(Scalar*, Vector)                       past the caches, to a line; where a vector is one
//     raise(a, n)                                   a · 2^n, of numbers that stay normal: the last bits of n's
//                                                   significand are added to the exponent
//
// Those of integers have `group` beside, and no odd, align or lanes between, nor the last three; their fma is that of
// ByteKernels. Those of float have beside, with a Half of kernels/half.hpp in place of its name, at any address:
//
//     widen(Half, const void*), narrow(Half, Vector, void*)             a vector of them
//     widen_first(Half, const void*, n), narrow_first(Half, Vector, void*, n)     where masks_halves; and there
//     widen_even(Half, const void*, n), widen_masked(Half, const void*, Lanes)    n, each the first of two; those lanes
//
// Those of four bytes have beside, for kernels/byte_image_kernel.hpp, 64 bytes in a vector:
//
//     bytes_between(begin, end)                     those from begin to end, which may lie anywhere
//     load_bytes(p, some, others), fill(byte), flipped(v, flip)     some of the bytes at p, others from a vector; xor
//     near_words(v, places), near_bytes(v, places)  lanes in another order; bytes, within each quarter
//     scaled(sum, finish), raised<N>(v)             up to its rounding; times 256^N
//     store_lower_bytes(p, v, n, Constant<N>)       the lower N bytes of each lane
//     zip_low, zip_high                             as those of numbers
//
// Those of PairKernels are floats whose fma is of words, and they have beside, with as many halves as a vector has
// words:
//
//     using Halves; no_halves(), load_halves(p), load_halves_first(p, n), store_halves(p, halves),
//     store_halves_first(p, halves, n), even_halves(p, n)               the last: n of them, each the first of two
//     join(a, b), join_even(p, q, n)                words of a's halves and b's; of the even halves at p and at q
//     swapped(v)                                    words with their halves exchanged
//     using Ranks; ranks_from(rank), store_ranks(p, ranks), lesser(ranks, v)     the lesser, by lanes of 16 bits, of
//                                                   them and v without signs, less one
//
// Everything is in an anonymous namespace and no library header is included: a function that two translation units
// share would be merged by the linker, and might bring wide instructions to a CPU that has none.
#ifndef FLATCONV_KERNELS_KERNELS_HPP
#define FLATCONV_KERNELS_KERNELS_HPP

#include "kernels/bend.hpp"
#include "kernels/byte_kernels.hpp"
#include "kernels/channel_columns_kernel.hpp"
#include "kernels/channelwise_kernel.hpp"
#include "kernels/direct_kernel.hpp"
#include "kernels/gradient_kernel.hpp"
#include "kernels/half_kernels.hpp"
#include "kernels/image_adjoint_kernel.hpp"
#include "kernels/image_kernel.hpp"
#include "kernels/interleaving_kernel.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/one_pixel_kernel.hpp"
#include "kernels/packing.hpp"
#include "kernels/panel_row_kernel.hpp"
#include "kernels/small_image_kernel.hpp"

namespace flatconv {
namespace {

template <typename Isa>
typename Isa::Scalar multiply_add_chains(int64_t steps) {
    using Scalar = typename Isa::Scalar;
    // Every lane of every chain starts from a number of its own: equal chains would be computed once.
    Scalar start[Isa::chains * Isa::lanes];
    for (int i = 0; i < Isa::chains * Isa::lanes; ++i) start[i] = Scalar(i);
    const Scalar half = Scalar(0.5);
    const typename Isa::Vector factor = Isa::broadcast(&half);
    typename Isa::Vector acc[Isa::chains];
    unroll<Isa::chains>([&](auto c) { acc[c.value] = Isa::load(start + c.value * Isa::lanes); });
    for (int64_t s = 0; s < steps; ++s) {
        unroll<Isa::chains>([&](auto c) { acc[c.value] = Isa::fma(acc[c.value], factor, factor); });
    }
    unroll<Isa::chains - 1>([&](auto c) { acc[0] = Isa::add(acc[0], acc[c.value + 1]); });
    Scalar sum[Isa::lanes];
    Isa::store(sum, acc[0]);
    return sum[0];
}

template <typename Isa>
constexpr Kernels<typename Isa::Scalar> make_kernels() {
    Kernels<typename Isa::Scalar> kernels{};
    kernels.lanes = Isa::lanes;
    kernels.tile_rows = Isa::tile_rows;
    kernels.tile_cols = Isa::lanes * Isa::tile_vectors;
    kernels.multiply = multiply<Isa, ScatteredVectors>;
    kernels.panel_vectors = Isa::panel_vectors;
    for (int v = 0; v < Isa::panel_vectors; ++v) kernels.panel_rows[v] = Isa::panel_rows[v];
    kernels.multiply_panel = multiply_panel_or_rows<Isa>;
    kernels.direct_cols = Isa::lanes * Isa::direct_vectors;
    kernels.convolve = convolve<Isa>;
    if constexpr (Isa::image_vectors > 0) {
        kernels.convolve_image = convolve_image<Isa>;
        kernels.keeps_small_images = keeps_small_images<Isa>;
        if constexpr (Isa::registers >= 32) kernels.convolve_columns = convolve_channel_columns<Isa>;
        if constexpr (transposes_images<typename Isa::Scalar>(3, 1)) kernels.transpose_image = transpose_image<Isa>;
    }
    kernels.spread_pixels = spread_pixels<Isa>;
    kernels.convolve_channelwise = convolve_channelwise<Isa>;
    kernels.picks_channels = Isa::picks;
    kernels.channelwise_gradient = channelwise_gradient<Isa>;
    kernels.chain_panels = chain_panels<Isa>;
    kernels.chain_rows = chain_rows<Isa>;
    kernels.pack_vector = pack_vector<Isa>;
    kernels.transpose = transpose<Isa>;
    kernels.finish_rows = finish_rows<Isa>;
    kernels.bend = bend<Isa>;
    kernels.copy_block = copy_block<Isa>;
    kernels.interleave = interleave_columns<Isa>;
    kernels.multiply_add_chains = multiply_add_chains<Isa>;
    kernels.chains = Isa::chains;
    return kernels;
}

template <typename Isa>
constexpr ByteKernels make_byte_kernels() {
    ByteKernels kernels{};
    kernels.group = Isa::group;
    kernels.words.lanes = Isa::lanes;
    kernels.words.tile_rows = Isa::tile_rows;
    kernels.words.tile_cols = Isa::lanes * Isa::tile_vectors;
    kernels.words.multiply = multiply<Isa, ScatteredVectors>;
    kernels.words.pack_vector = pack_vector<Isa>;
    kernels.interleave = interleave<Isa::group>;
    kernels.sum = sum<Isa::group>;
    kernels.finish_sums = finish_sums;
    kernels.requantize = requantize;
    return kernels;
}

}  // namespace
}  // namespace flatconv

#endif
