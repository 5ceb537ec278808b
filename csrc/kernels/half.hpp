// Numbers of 16 bits, and their conversions by bit arithmetic: the definition, and the way where no instruction does
// it.
#ifndef FLATCONV_KERNELS_HALF_HPP
#define FLATCONV_KERNELS_HALF_HPP

#include <stdint.h>

namespace flatconv {

/// IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of significand.
struct Float16 {
    uint16_t bits;
};

/// The upper half of a float: 1 bit of sign, 8 of exponent, 7 of significand.
struct BFloat16 {
    uint16_t bits;
};

// Always inlined: a copy of its own, compiled for a wide instruction set, could replace everyone else's.
#define FLATCONV_HALF inline __attribute__((always_inline))

FLATCONV_HALF float float_of_bits(uint32_t bits) {
    float number;
    __builtin_memcpy(&number, &bits, sizeof number);
    return number;
}

FLATCONV_HALF uint32_t bits_of_float(float number) {
    uint32_t bits;
    __builtin_memcpy(&bits, &number, sizeof bits);
    return bits;
}

/// Exact.
FLATCONV_HALF float widened(BFloat16 half) { return float_of_bits(uint32_t(half.bits) << 16); }

FLATCONV_HALF float widened(Float16 half) {
    const uint32_t sign = uint32_t(half.bits & 0x8000u) << 16, magnitude = half.bits & 0x7FFFu;
    if (magnitude >= 0x7C00u) return float_of_bits(sign | 0x7F800000u | magnitude << 13);  // infinite, or no number
    if (magnitude >= 0x0400u) return float_of_bits(sign | ((magnitude << 13) + (112u << 23)));
    return float_of_bits(sign | bits_of_float(float(magnitude) * 0x1p-24f));  // subnormal
}

/// Rounded to nearest, ties to even; beyond the largest number, infinite. The thread must round to nearest, too.
template <typename Half>
Half narrowed(float number);

template <>
FLATCONV_HALF BFloat16 narrowed<BFloat16>(float number) {
    const uint32_t bits = bits_of_float(number);
    // A NaN could round to infinity.
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {uint16_t(bits >> 16 | 0x0040u)};
    return {uint16_t((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
}

template <>
FLATCONV_HALF Float16 narrowed<Float16>(float number) {
    const uint32_t bits = bits_of_float(number), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint16_t(sign | 0x7E00u)};
    if (magnitude >= 0x477FF000u) return {uint16_t(sign | 0x7C00u)};  // from 65520 on
    if (magnitude >= 0x38800000u) {
        const uint32_t rounded = magnitude + 0x0FFFu + (magnitude >> 13 & 1u);
        return {uint16_t(sign | (rounded - (112u << 23)) >> 13)};
    }
    // Subnormal: next to a half, floats are as far apart as these are.
    const uint32_t rounded = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
    return {uint16_t(sign | rounded)};
}

#undef FLATCONV_HALF

}  // namespace flatconv

#endif
