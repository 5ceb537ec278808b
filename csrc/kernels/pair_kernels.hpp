// The kernels of bfloat16 by the CPU's own dot product; for each kernels_<isa>.cpp that has one.
//
// All but the product itself in plain loops, for which compilers find the vectors.
#ifndef FLATCONV_KERNELS_PAIR_KERNELS_HPP
#define FLATCONV_KERNELS_PAIR_KERNELS_HPP

#include "kernels/half.hpp"
#include "kernels/packing.hpp"

namespace flatconv {
namespace {

void join(const float* numbers, int64_t count, float* words) {
    const int64_t pairs = count / 2;
    for (int64_t i = 0; i < pairs; ++i) {
        const uint32_t upper = bits_of_float(numbers[2 * i]), lower = bits_of_float(numbers[2 * i + 1]);
        words[i] = float_of_bits(upper | lower >> 16);
    }
    if (count % 2) words[pairs] = numbers[count - 1];
}

/// Less one, and without its sign, a zero is the largest number of all.
FLATCONV_INLINE uint32_t rank_of(uint32_t magnitude) { return magnitude - 1; }
constexpr uint32_t infinite_half = 0x7F80;

int least_exponent(const float* numbers, int64_t count) {
    uint32_t least = infinite_half << 16;
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t rank = rank_of(bits_of_float(numbers[i]) & 0x7FFFFFFFu);
        least = rank < least ? rank : least;
    }
    return int((least + 1) >> 23);
}

/// A row of `load(c)`, words with the numbers in order.
template <typename Load>
FLATCONV_INLINE uint32_t join_row(uint32_t least, int64_t cols, float* __restrict to, const Load& load) {
    for (int64_t c = 0; c < cols; ++c) {
        const uint32_t word = load(c);
        to[c] = float_of_bits(word);
        const uint32_t upper = rank_of(word >> 16 & 0x7FFFu), lower = rank_of(word & 0x7FFFu);
        const uint32_t lesser = upper < lower ? upper : lower;
        least = lesser < least ? lesser : least;
    }
    return least;
}

template <typename Bits>
FLATCONV_INLINE uint32_t bits_at(const char* place) {
    Bits bits;
    __builtin_memcpy(&bits, place, sizeof bits);
    return bits;
}

int join_halves(const HalfJoin& j) {
    uint32_t least = infinite_half;
    for (int64_t r = 0; r < j.rows; ++r) {
        const char* const first = static_cast<const char*>(j.first) + r * j.from_stride;
        const char* const second = first + j.second;
        float* const to = j.to + r * j.to_stride;
        const auto cols = [&](ptrdiff_t step) __attribute__((always_inline)) {
            if (!j.has_second) {
                return join_row(least, j.cols, to,
                                [&](int64_t c) { return bits_at<uint16_t>(first + c * step) << 16; });
            }
            return join_row(least, j.cols, to, [&](int64_t c) {
                return bits_at<uint16_t>(first + c * step) << 16 | bits_at<uint16_t>(second + c * step);
            });
        };
        // Constant steps, of which compilers make vectors.
        if (j.from_step == 4 && j.second == 2 && j.has_second) {
            least = join_row(least, j.cols, to, [&](int64_t c) {
                const uint32_t word = bits_at<uint32_t>(first + c * 4);
                return word << 16 | word >> 16;
            });
        } else if (j.from_step == 2) {
            least = cols(2);
        } else if (j.from_step == 4) {
            least = cols(4);
        } else {
            least = cols(j.from_step);
        }
    }
    return int((least + 1) >> 7);
}

/// `floats` are those of the same machine, of which `Isa` has another fma.
template <typename Isa>
constexpr PairKernels make_pair_kernels(const Kernels<float>& floats) {
    PairKernels kernels{floats, floats, join, join_halves, least_exponent};
    kernels.words.multiply = kernels.joining.multiply = multiply<Isa, WordVectors>;
    kernels.joining.pack_vector = pack_vector<Isa, JoinedDepths>;
    return kernels;
}

}  // namespace
}  // namespace flatconv

#endif
