// The transpose of kernels/image_kernel.hpp: for the gradient of channels that are convolved each for itself, and for
// transposed convolutions of them. kernels.hpp brings it into every kernels_<isa>.cpp.
//
// Along an axis, the output at the place s · stride + q of the padded one is the sum over t of the kernel element
// q + t · stride, times the pixel s - t. So the phases q share pixels, and are stored side by side; and from the last
// row of the image to the first, each row of sums meets the rows of its kernel in order.
#ifndef FLATCONV_KERNELS_IMAGE_ADJOINT_KERNEL_HPP
#define FLATCONV_KERNELS_IMAGE_ADJOINT_KERNEL_HPP

#include "kernels/image_kernel.hpp"

namespace flatconv {
namespace {

/// Elements of a kernel, or of a row of it, that belong to a phase.
constexpr int phase_taps(int size, int stride, int phase) { return (size - phase + stride - 1) / stride; }

/// Some columns of the output, from bottom to top: for Vectors of pixels as many columns of each phase, the last
/// `last` of all.
///
/// Of each phase of rows, a row of sums waits in registers until it has met all rows of its kernel:
///
///     waiting[q][t]   the row of sums of which the image's row now meets the kernel row q + t · stride
template <typename Isa, int Size, int Stride, int Vectors>
void transpose_strip(const ImageConvolution<typename Isa::Scalar>& image, int64_t col, int last) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;
    constexpr int most_taps = phase_taps(Size, Stride, 0), ahead = (most_taps - 1 + lanes - 1) / lanes;
    constexpr int loads = Vectors + ahead;
    static_assert(loads * lanes <= ZeroRow<Scalar>::length, "");

    // The first column is of this phase; those before it have gone on to the next pixel.
    const int first_phase = int(image.first_col % Stride);
    int64_t first[Stride];
    typename Isa::Lanes inside[Stride][loads];
    unroll<Stride>([&](auto q) {
        const int64_t pixel = (image.first_col + col) / Stride + (q.value < first_phase ? 1 : 0);
        first[q.value] = pixel - (phase_taps(Size, Stride, q.value) - 1);
        // Only the first and the last pixels may lie outside of the image.
        unroll<loads>([&](auto l) {
            const int64_t at = first[q.value] + l.value * lanes;
            if (l.value < ahead || l.value >= Vectors - 1) {
                inside[q.value][l.value] = lanes_between<Isa>(-at, image.x_cols - at);
            }
        });
    });
    Vector waiting[Stride][most_taps][Stride][Vectors];
    unroll<Stride>([&](auto q) {
        unroll<most_taps>([&](auto t) {
            unroll<Stride>([&](auto p) {
                unroll<Vectors>([&](auto v) { waiting[q.value][t.value][p.value][v.value] = Isa::zero(); });
            });
        });
    });

    const int64_t top = image.first_row / Stride - (most_taps - 1);
    for (int64_t x_row = (image.first_row + image.rows - 1) / Stride; x_row >= top; --x_row) {
        const bool is_inside = uint64_t(x_row) < uint64_t(image.x_rows);
        unroll<Stride>([&](auto p) {
            constexpr int column_phase = decltype(p)::value, taps = phase_taps(Size, Stride, column_phase);
            const Scalar* const x =
                is_inside ? image.x + x_row * image.x_row_stride + first[column_phase] : ZeroRow<Scalar>::pixels;
            Vector loaded[loads];
            unroll<Vectors + (taps > 1 ? ahead : 0)>([&](auto l) {
                const Scalar* const from = x + l.value * lanes;
                loaded[l.value] = l.value < ahead || l.value >= Vectors - 1
                                      ? load_between<Isa>(from, inside[column_phase][l.value])
                                      : Isa::load(from);
            });
            unroll<taps>([&](auto k) {
                constexpr int shift = taps - 1 - decltype(k)::value, vector = shift / lanes;
                Vector shifted[Vectors];
                unroll<Vectors>([&](auto v) {
                    if constexpr (shift % lanes == 0) {
                        shifted[v.value] = loaded[v.value + vector];
                    } else {
                        shifted[v.value] =
                            Isa::template align<shift % lanes>(loaded[v.value + vector], loaded[v.value + vector + 1]);
                    }
                });
                unroll<Size>([&](auto r) {
                    constexpr int q = decltype(r)::value % Stride, t = decltype(r)::value / Stride;
                    const Vector weight =
                        Isa::broadcast(image.weights + r.value * Size + column_phase + k.value * Stride);
                    unroll<Vectors>([&](auto v) {
                        Vector& sum = waiting[q][t][column_phase][v.value];
                        sum = Isa::fma(weight, shifted[v.value], sum);
                    });
                });
            });
        });
        unroll<Stride>([&](auto q) {
            constexpr int taps = phase_taps(Size, Stride, decltype(q)::value);
            auto& finished = waiting[q.value][taps - 1];
            const int64_t row = (x_row + taps - 1) * Stride + q.value - image.first_row;
            if (uint64_t(row) < uint64_t(image.rows)) {
                Scalar* const y = image.y + row * image.y_row_stride + col;
                unroll<Stride>([&](auto p) { finish_vectors<Isa>(finished[p.value], *image.epilogue); });
                unroll<Vectors>([&](auto v) {
                    Vector sums[Stride];
                    unroll<Stride>([&](auto p) { sums[p.value] = finished[p.value][v.value]; });
                    if constexpr (Stride == 2) {
                        const Vector even = first_phase == 0 ? sums[0] : sums[1];
                        const Vector odd = first_phase == 0 ? sums[1] : sums[0];
                        sums[0] = Isa::zip_low(even, odd);
                        sums[1] = Isa::zip_high(even, odd);
                    }
                    unroll<Stride>([&](auto p) {
                        constexpr int at = (decltype(v)::value * Stride + decltype(p)::value) * lanes;
                        if (at + lanes <= last) {
                            Isa::store(y + at, sums[p.value]);
                        } else if (at < last) {
                            Isa::store_first(y + at, sums[p.value], last - at);
                        }
                    });
                });
            }
            unroll<taps - 1>([&](auto t) {
                unroll<Stride>([&](auto p) {
                    unroll<Vectors>([&](auto v) {
                        waiting[q.value][taps - 1 - t.value][p.value][v.value] =
                            waiting[q.value][taps - 2 - t.value][p.value][v.value];
                    });
                });
            });
            unroll<Stride>(
                [&](auto p) { unroll<Vectors>([&](auto v) { waiting[q.value][0][p.value][v.value] = Isa::zero(); }); });
        });
    }
}

template <typename Isa, int Size, int Stride, int Vectors>
FLATCONV_INLINE void transpose_strip_of(const ImageConvolution<typename Isa::Scalar>& image, int64_t col, int vectors,
                                        int last) {
    if constexpr (Vectors > 0) {
        if (vectors == Vectors) return transpose_strip<Isa, Size, Stride, Vectors>(image, col, last);
        transpose_strip_of<Isa, Size, Stride, Vectors - 1>(image, col, vectors, last);
    }
}

template <typename Isa, int Size, int Stride>
FLATCONV_INLINE void transpose_strips_if(const ImageConvolution<typename Isa::Scalar>& image) {
    if constexpr (transposes_images<typename Isa::Scalar>(Size, Stride)) {
        if (image.size != Size || image.stride != Stride) return;
        constexpr int most = Stride > 1 && Isa::image_vectors > 2 ? 2 : Isa::image_vectors;
        constexpr int64_t width = Stride * Isa::lanes;
        const int64_t vectors = (image.cols + width - 1) / width;
        int64_t first = 0;
        for (int64_t left = (vectors + most - 1) / most; left > 0; --left) {
            const int64_t count = (vectors - first + left - 1) / left, cols = image.cols - first * width;
            transpose_strip_of<Isa, Size, Stride, most>(image, first * width, int(count),
                                                        int(cols < count * width ? cols : count * width));
            first += count;
        }
    }
}

template <typename Isa>
void transpose_image(const ImageConvolution<typename Isa::Scalar>& image) {
    transpose_strips_if<Isa, 3, 1>(image);
    transpose_strips_if<Isa, 3, 2>(image);
    if (image.epilogue->residual) add_residual<Isa>(image);
    bend_stored<Isa>(image.epilogue, image.y, image.y_row_stride, image.rows, image.cols);
}

}  // namespace
}  // namespace flatconv

#endif
