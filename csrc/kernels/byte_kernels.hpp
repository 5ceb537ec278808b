// The kernels that bring bytes into words and integer sums to y; kernels.hpp brings them into every kernels_<isa>.cpp.
//
// In plain loops: what they do is simple enough for compilers to find the vectors.
#ifndef FLATCONV_KERNELS_BYTE_KERNELS_HPP
#define FLATCONV_KERNELS_BYTE_KERNELS_HPP

#include "kernels/kernel_set.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// One word: `byte(k)` is that of channel k. `sign` is the sign bit of a signed byte, which is to be extended, or 0.
template <int Group, int Channels, typename Byte>
FLATCONV_INLINE uint32_t word_of(uint32_t flip, uint32_t sign, const Byte& byte) {
    constexpr int bits = 32 / Group;
    uint32_t word = 0;
    unroll<Channels>([&](auto k) {
        const uint32_t number = byte(k.value) ^ flip;
        // A byte's sign needs no extension where the number is one.
        const uint32_t extended = Group == 4 ? number : ((number ^ sign) - sign) & 0xFFFF;
        word |= extended << (bits * k.value);
    });
    return word;
}

template <int Group, int Channels>
FLATCONV_INLINE void interleave_row(const ByteInterleave& b, const uint8_t* from, uint32_t* __restrict to) {
    const uint32_t flip = b.flip, sign = b.is_signed ? 0x80 : 0;
    // Constant steps, which compilers make vectors of, for the common cases; and one loop for all others.
    const auto cols = [&](ptrdiff_t channel, ptrdiff_t step) __attribute__((always_inline)) {
        for (int64_t c = 0; c < b.cols; ++c) {
            to[c] = word_of<Group, Channels>(flip, sign, [&](int k) { return from[k * channel + c * step]; });
        }
    };
    if (b.from_step == 1) return cols(b.channel_stride, 1);
    if (b.from_step == 2) return cols(b.channel_stride, 2);
    if (b.channel_stride == 1 && b.from_step == Group) return cols(1, Group);
    if (b.channel_stride == 1) return cols(1, b.from_step);
    cols(b.channel_stride, b.from_step);
}

template <int Group, int Channels>
void interleave_channels(const ByteInterleave& b) {
    int64_t r = 0;
    // Short rows without gaps, which are those of small kernels: as many words as make vectors, of which the next row
    // overwrites what is too much. Only while that many follow, to read as to write.
    constexpr int most = 16;
    if (b.from_step == 1 && b.cols < most && b.channel_stride == b.cols && b.from_stride == Channels * b.cols &&
        b.to_stride == b.cols) {
        const uint32_t flip = b.flip, sign = b.is_signed ? 0x80 : 0;
        for (; (b.rows - r) * b.cols >= most && ((b.rows - r) * Channels - Channels + 1) * b.cols >= most; ++r) {
            const uint8_t* from = b.from + r * b.from_stride;
            uint32_t words[most];
            for (int c = 0; c < most; ++c) {
                words[c] = word_of<Group, Channels>(flip, sign, [&](int k) { return from[k * b.cols + c]; });
            }
            uint32_t* const to = b.to + r * b.to_stride;
            for (int c = 0; c < most; ++c) to[c] = words[c];
        }
    }
    for (; r < b.rows; ++r) {
        interleave_row<Group, Channels>(b, b.from + r * b.from_stride, b.to + r * b.to_stride);
    }
}

template <int Group>
void interleave(const ByteInterleave& b) {
    switch (b.channels) {
        case 1: return interleave_channels<Group, 1>(b);
        case 2: return interleave_channels<Group, 2>(b);
        case 3: return interleave_channels<Group, (Group < 3 ? Group : 3)>(b);
        default: return interleave_channels<Group, Group>(b);
    }
}

template <int Group>
uint32_t sum(const uint32_t* words, int64_t count) {
    uint32_t total = 0;
    for (int64_t i = 0; i < count; ++i) {
        unroll<Group>([&](auto k) {
            constexpr int bits = 32 / Group;
            const auto at_top = int32_t(words[i] << (32 - bits * (k.value + 1)));
            total += uint32_t(at_top >> (32 - bits));
        });
    }
    return total;
}

/// body(r, c, sum) for each sum, finished but for the scale.
template <typename Body>
FLATCONV_INLINE void for_each_sum(const SumFinish& f, const Body& body) {
    for (int64_t r = 0; r < f.rows; ++r) {
        const uint32_t* sums = f.sums + r * f.sums_stride;
        const uint32_t added = f.added[r];
        if (f.region_sums) {
            const uint32_t factor = f.factors[r];
            for (int64_t c = 0; c < f.cols; ++c) body(r, c, sums[c] + added - factor * f.region_sums[c]);
        } else {
            for (int64_t c = 0; c < f.cols; ++c) body(r, c, sums[c] + added);
        }
    }
}

void finish_sums(const SumFinish& f, uint32_t* __restrict y, ptrdiff_t y_stride) {
    for_each_sum(f, [&](int64_t r, int64_t c, uint32_t sum) { y[r * y_stride + c] = sum; });
}

void requantize(const SumFinish& f, uint8_t* __restrict y, ptrdiff_t y_stride) {
    const float low = f.low, high = f.high;
    const int32_t zero_point = f.zero_point;
    for_each_sum(f, [&](int64_t r, int64_t c, uint32_t sum) {
        float scaled = float(int32_t(sum)) * f.scales[r];
        scaled = scaled < low ? low : scaled;
        scaled = scaled > high ? high : scaled;
        y[r * y_stride + c] = uint8_t(int32_t(__builtin_rintf(scaled)) + zero_point);
    });
}

}  // namespace
}  // namespace flatconv

#endif
