// The kernel for images of at most 8 × 8 pixels in channels that are convolved each for itself; called by
// image_kernel.hpp.
#ifndef FLATCONV_KERNELS_SMALL_IMAGE_KERNEL_HPP
#define FLATCONV_KERNELS_SMALL_IMAGE_KERNEL_HPP

#include "kernels/micro_kernel.hpp"

namespace flatconv {
namespace {

/// Half a vector is a row: those of all pixels, and of all sums, fit the registers.
template <typename Isa>
constexpr bool keeps_small_images = Isa::picks && Isa::lanes == 2 * small_side;

/// All of two small images, because the sums of one would wait for each other; `next` leads from one to the other.
///
/// A vector has two rows that are four apart, as sums. They meet the vectors of rows of the image in the order of the
/// kernel rows, each shifted within its rows for the kernel columns:
///
///     | row -1: zeros | row 3 |   | row 0 | row 4 |   | row 1 | row 5 |   …   | row 4 | row 8: zeros |
///
/// With a stride of two, rows that are eight apart are parted into one such vector of even pixels and one of odd ones.
template <typename Isa, int Size, int Stride>
void convolve_two_images(const ImageConvolution<typename Isa::Scalar>& image, int64_t channel, int64_t next) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int vectors = small_side / 2, apart = vectors * Stride, pad = Size / 2, channels = 2;

    const int cols = int(image.cols), x_cols = int(image.x_cols);
    const auto some = Isa::between(0, x_cols), upper = Isa::between(small_side, small_side + cols);
    const Scalar *x[channels], *weights[channels];
    Vector rows[channels][vectors], sums[channels][vectors];
    unroll<channels>([&](auto c) {
        const int64_t at = channel + c.value * next;
        weights[c.value] = image.weights + at * image.weights_stride;
        x[c.value] = image.x + at * image.x_channel_stride;
        unroll<vectors>([&](auto v) {
            sums[c.value][v.value] = Isa::zero();
            if constexpr (Stride == 1) {
                Vector second = Isa::zero();
                if (v.value + apart < image.rows)
                    second = Isa::load_masked(x[c.value] + (v.value + apart) * cols, some);
                const Vector first = Isa::load_masked(x[c.value] + v.value * cols - small_side, upper);
                rows[c.value][v.value] = Isa::template align<small_side>(first, second);
            }
        });
    });
    unroll<(vectors - 1) * Stride + Size>([&](auto begin) __attribute__((always_inline)) {
        constexpr int row = decltype(begin)::value - pad;
        Vector two[channels][Stride];
        unroll<channels>([&](auto c) {
            // As if they were new each time: no registers are spent on those that the next rows meet again.
            asm("" : "+r"(weights[c.value]));
            auto& of = two[c.value];
            if constexpr (Stride == 2) {
                Vector first = Isa::zero(), second = Isa::zero();
                if constexpr (row >= 0) first = Isa::load_masked(x[c.value] + row * x_cols, some);
                if (row + apart < image.x_rows) {
                    second = Isa::load_masked(x[c.value] + (row + apart) * x_cols, some);
                }
                of[0] = Isa::even(first, second);
                of[1] = Isa::odd(first, second);
            } else {
                of[0] = rows[c.value][(row + vectors) % vectors];
                if constexpr (row < 0) of[0] = Isa::template align<small_side>(Isa::zero(), of[0]);
                if constexpr (row >= vectors) of[0] = Isa::template align<small_side>(of[0], Isa::zero());
            }
        });
        unroll<Size>([&](auto column) __attribute__((always_inline)) {
            constexpr int kernel_col = decltype(column)::value, phase = (kernel_col + pad) % Stride;
            unroll<channels>([&](auto c) __attribute__((always_inline)) {
                const Vector shifted =
                    Isa::template shift_halves<(kernel_col - pad - phase) / Stride>(two[c.value][phase]);
                unroll<vectors>([&](auto v) __attribute__((always_inline)) {
                    constexpr int kernel_row = row + pad - decltype(v)::value * Stride;
                    if constexpr (kernel_row >= 0 && kernel_row < Size) {
                        Vector& sum = sums[c.value][v.value];
                        const Vector weight = Isa::broadcast(weights[c.value] + kernel_row * Size + kernel_col);
                        sum = Isa::fma(weight, shifted, sum);
                    }
                });
            });
        });
    });
    unroll<channels>([&](auto c) {
        const int64_t at = channel + c.value * next;
        Epilogue<Scalar> epilogue = *image.epilogue;
        epilogue.bias += at;
        finish_vectors<Isa>(sums[c.value], epilogue);
        Scalar* const y = image.y + at * image.y_channel_stride;
        unroll<vectors>([&](auto v) {
            const Vector sum = sums[c.value][v.value];
            Isa::store_first(y + v.value * cols, sum, cols);
            if (v.value + vectors >= image.rows) return;
            Isa::store_first(y + (v.value + vectors) * cols, Isa::template align<small_side>(sum, sum), cols);
        });
    });
}

/// Whether images are small; then their channels are convolved, up to the bias and the bounds of all.
template <typename Isa>
bool convolve_small_images(const ImageConvolution<typename Isa::Scalar>& image) {
    if constexpr (keeps_small_images<Isa>) {
        if (!is_small_image(image)) return false;
        const auto convolve_two =
            image.size == 3     ? image.stride == 1 ? convolve_two_images<Isa, 3, 1> : convolve_two_images<Isa, 3, 2>
            : image.stride == 1 ? convolve_two_images<Isa, 5, 1>
                                : convolve_two_images<Isa, 5, 2>;
        const int64_t last = image.channels - 1;
        // One may be computed twice.
        for (int64_t channel = 0; channel < last; channel += 2) convolve_two(image, channel, 1);
        if (last % 2 == 0) convolve_two(image, last, 0);
        return true;
    }
    return false;
}

}  // namespace
}  // namespace flatconv

#endif
