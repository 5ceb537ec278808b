// The kernels for channels of bytes that are convolved each for itself, which read the image where it lies; for each
// kernels_<isa>.cpp that multiplies four bytes at a time.
//
// A word of four neighbouring pixels meets as many elements of a kernel row at once.
#ifndef FLATCONV_KERNELS_BYTE_IMAGE_KERNEL_HPP
#define FLATCONV_KERNELS_BYTE_IMAGE_KERNEL_HPP

#include "kernels/kernel_set.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// `n` finished sums in a row of y; sum i is in lane i / Phases of sums[i % Phases].
template <typename Isa, int Phases>
FLATCONV_INLINE void store_sums(const ByteImageConvolution& image, ptrdiff_t at, typename Isa::Vector (&sums)[Phases],
                                int n) {
    using Vector = typename Isa::Vector;
    const SumFinish& finish = *image.finish;
    if (image.y) {
        // Less the smallest, numbers are bytes without a sign, and add up to words of them.
        const int32_t low = int32_t(finish.low), least = low + finish.zero_point;
        const uint32_t offset = uint32_t(-low) * 0x01010101u;
        Vector bytes = Isa::broadcast(&offset);
        unroll<Phases>([&](auto p) {
            bytes = Isa::add(bytes, Isa::template raised<p.value>(Isa::scaled(sums[p.value], finish)));
        });
        return Isa::store_lower_bytes(image.y + at, Isa::flipped(bytes, Isa::fill(uint8_t(least))), n,
                                      Constant<Phases>{});
    }
    const auto store = [&](int part, Vector v) {
        const int left = n - part * Isa::lanes;
        uint32_t* const to = image.sums + at + part * Isa::lanes;
        if (left >= Isa::lanes) {
            Isa::store(to, v);
        } else if (left > 0) {
            Isa::store_first(to, v, left);
        }
    };
    if constexpr (Phases == 1) {
        store(0, sums[0]);
    } else {
        const Vector even[2] = {Isa::zip_low(sums[0], sums[2]), Isa::zip_high(sums[0], sums[2])};
        const Vector odd[2] = {Isa::zip_low(sums[1], sums[3]), Isa::zip_high(sums[1], sums[3])};
        unroll<2>([&](auto half) {
            store(2 * half.value, Isa::zip_low(even[half.value], odd[half.value]));
            store(2 * half.value + 1, Isa::zip_high(even[half.value], odd[half.value]));
        });
    }
}

/// Kernels of 3 × 3 elements with stride 1: four rows of sums at a time, of 64 columns each, from top to bottom.
///
/// The words of a vector that is loaded from some place on are those of every fourth pixel, and so of every fourth sum.
/// The others are loaded from the three places beside it: no byte moves in registers until the sums are stored in
/// order.
template <typename Isa>
void convolve_wide_bytes(const ByteImageConvolution& image) {
    using Vector = typename Isa::Vector;
    constexpr int size = 3, phases = 4, rows = 4, cols = phases * Isa::lanes, met = rows + size - 1;
    static_assert(byte_image_words(size) == 1, "");

    Vector weights[size];
    unroll<size>([&](auto k) { weights[k.value] = Isa::broadcast(image.weights + k.value); });
    const Vector outside = Isa::fill(image.outside), flip = Isa::fill(image.flip);
    const Vector flipped_outside = Isa::flipped(outside, flip);
    for (int64_t col = 0; col < image.cols; col += cols) {
        typename Isa::Bytes inside[phases];
        unroll<phases>([&](auto p) {
            const int64_t at = image.first_col + col + p.value;
            inside[p.value] = Isa::bytes_between(-at, image.x_cols - at);
        });
        const int count = image.cols - col < cols ? int(image.cols - col) : cols;
        for (int64_t row = 0; row < image.rows; row += rows) {
            Vector sums[rows][phases];
            const Vector added = Isa::broadcast(image.finish->added);
            unroll<rows>([&](auto r) { unroll<phases>([&](auto p) { sums[r.value][p.value] = added; }); });
            int64_t x_row = image.first_row + row;
            unroll<met>([&](auto m) {
                constexpr int row_met = decltype(m)::value;
                Vector pixels[phases];
                unroll<phases>([&](auto p) { pixels[p.value] = flipped_outside; });
                if (uint64_t(x_row) < uint64_t(image.x_rows)) {
                    const uint8_t* const x = image.x + x_row * image.x_row_stride + image.first_col + col;
                    unroll<phases>([&](auto p) {
                        pixels[p.value] = Isa::flipped(Isa::load_bytes(x + p.value, inside[p.value], outside), flip);
                    });
                }
                ++x_row;
                unroll<rows>([&](auto r) {
                    constexpr int kernel_row = row_met - decltype(r)::value;
                    if constexpr (kernel_row >= 0 && kernel_row < size) {
                        unroll<phases>([&](auto p) {
                            sums[r.value][p.value] =
                                Isa::fma(weights[kernel_row], pixels[p.value], sums[r.value][p.value]);
                        });
                    }
                });
            });
            unroll<rows>([&](auto r) {
                if (row + r.value >= image.rows) return;
                store_sums<Isa>(image, (row + r.value) * image.y_row_stride + col, sums[r.value], count);
            });
        }
    }
}

/// Where the words of a vector of pixels that are `stride` apart lie in the bytes that are loaded: each quarter gets
/// the four words from its first lane's pixel on; then each lane the bytes of its own.
template <typename Isa>
struct NearBytes {
    typename Isa::Vector words, bytes;

    FLATCONV_INLINE explicit NearBytes(int stride) {
        uint32_t quarters[Isa::lanes], lane[Isa::lanes];
        for (int i = 0; i < Isa::lanes; ++i) {
            quarters[i] = uint32_t(i / 4 * stride + i % 4);
            lane[i] = 0x03020100u + 0x01010101u * uint32_t(i % 4 * stride);
        }
        words = Isa::load(quarters);
        bytes = Isa::load(lane);
    }
};

/// Kernels of 3 × 3 elements, with a stride or for narrow images: four rows of sums at a time, of one vector each.
template <typename Isa, int Stride>
void convolve_small_bytes(const ByteImageConvolution& image) {
    using Vector = typename Isa::Vector;
    constexpr int size = 3, lanes = Isa::lanes, rows = 4, met = (rows - 1) * Stride + size;
    static_assert(byte_image_words(size) == 1, "");

    const NearBytes<Isa> near(Stride);
    Vector weights[size];
    unroll<size>([&](auto k) { weights[k.value] = Isa::broadcast(image.weights + k.value); });
    const Vector outside = Isa::fill(image.outside), flip = Isa::fill(image.flip);
    const Vector added = Isa::broadcast(image.finish->added);
    for (int64_t col = 0; col < image.cols; col += lanes) {
        const int64_t first_col = image.first_col + col * Stride;
        const auto inside = Isa::bytes_between(-first_col, image.x_cols - first_col);
        const int count = image.cols - col < lanes ? int(image.cols - col) : lanes;
        for (int64_t row = 0; row < image.rows; row += rows) {
            Vector sums[rows][1];
            unroll<rows>([&](auto r) { sums[r.value][0] = added; });
            int64_t x_row = image.first_row + row * Stride;
            const uint8_t* x = image.x + x_row * image.x_row_stride + first_col;
            unroll<met>([&](auto m) {
                const bool is_inside = uint64_t(x_row++) < uint64_t(image.x_rows);
                const Vector loaded = Isa::load_bytes(x, is_inside ? inside : 0, outside);
                x += image.x_row_stride;
                const Vector neighbours =
                    Isa::near_bytes(Isa::near_words(Isa::flipped(loaded, flip), near.words), near.bytes);
                unroll<rows>([&](auto r) {
                    constexpr int kernel_row = decltype(m)::value - decltype(r)::value * Stride;
                    if constexpr (kernel_row >= 0 && kernel_row < size) {
                        sums[r.value][0] = Isa::fma(weights[kernel_row], neighbours, sums[r.value][0]);
                    }
                });
            });
            unroll<rows>([&](auto r) {
                if (row + r.value >= image.rows) return;
                store_sums<Isa>(image, (row + r.value) * image.y_row_stride + col, sums[r.value], count);
            });
        }
    }
}

/// Any other kernel: two rows of sums at a time, of one vector each. Of every row that they meet,
/// their words are brought together in registers.
template <typename Isa>
void convolve_narrow_bytes(const ByteImageConvolution& image) {
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes, rows = 2;
    const int words = byte_image_words(image.size);
    const int64_t stride = image.stride, met = image.size + stride;

    const uint32_t next_word = 0x04040404u;
    const NearBytes<Isa> near(image.stride);
    const Vector second = Isa::add(near.bytes, Isa::broadcast(&next_word));
    const Vector outside = Isa::fill(image.outside), flip = Isa::fill(image.flip);
    for (int64_t col = 0; col < image.cols; col += lanes) {
        const int64_t first_col = image.first_col + col * stride;
        const auto inside = Isa::bytes_between(-first_col, image.x_cols - first_col);
        const int count = image.cols - col < lanes ? int(image.cols - col) : lanes;
        for (int64_t row = 0; row < image.rows; row += rows) {
            const Vector added = Isa::broadcast(image.finish->added);
            Vector sums[rows][1] = {{added}, {added}};
            // What the second row meets first, the first one meets `stride` rows later.
            const uint32_t *weights = image.weights, *later = weights - stride * words;
            int64_t x_row = image.first_row + row * stride;
            const uint8_t* x = image.x + x_row * image.x_row_stride + first_col;
            for (int64_t m = 0; m < met; ++m, ++x_row, x += image.x_row_stride) {
                const bool is_inside = uint64_t(x_row) < uint64_t(image.x_rows);
                const Vector loaded = Isa::load_bytes(x, is_inside ? inside : 0, outside);
                const Vector pixels = Isa::near_words(Isa::flipped(loaded, flip), near.words);
                const auto multiply = [&](Vector places) __attribute__((always_inline)) {
                    const Vector neighbours = Isa::near_bytes(pixels, places);
                    sums[0][0] = Isa::fma(Isa::broadcast(weights++), neighbours, sums[0][0]);
                    sums[1][0] = Isa::fma(Isa::broadcast(later++), neighbours, sums[1][0]);
                };
                multiply(near.bytes);
                if (words > 1) multiply(second);
            }
            store_sums<Isa>(image, row * image.y_row_stride + col, sums[0], count);
            if (row + 1 < image.rows) store_sums<Isa>(image, (row + 1) * image.y_row_stride + col, sums[1], count);
        }
    }
}

template <typename Isa>
void convolve_bytes(const ByteImageConvolution& image) {
    const bool wide = image.cols > 2 * Isa::lanes;
    if (image.size == 3 && image.stride == 1) {
        return wide ? convolve_wide_bytes<Isa>(image) : convolve_small_bytes<Isa, 1>(image);
    }
    if (image.size == 3 && image.stride == 2) return convolve_small_bytes<Isa, 2>(image);
    convolve_narrow_bytes<Isa>(image);
}

}  // namespace
}  // namespace flatconv

#endif
