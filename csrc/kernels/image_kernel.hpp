// The kernel for channels that are convolved each for itself, which reads the image where it lies; kernels.hpp brings
// it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_IMAGE_KERNEL_HPP
#define FLATCONV_KERNELS_IMAGE_KERNEL_HPP

#include "kernels/line_kernel.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/small_image_kernel.hpp"

namespace flatconv {
namespace {

/// What is read in place of rows above and below the image: the vectors of the widest strip.
template <typename Scalar>
struct ZeroRow {
    static constexpr int length = 256;
    alignas(64) static constexpr Scalar pixels[length] = {};
};

/// How x and y hold their pixels: as what is computed with; kernels/half_kernels.hpp has halves.
template <typename Isa>
struct AsNumbers {
    using Stored = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    static FLATCONV_INLINE Vector load(const Stored* p) { return Isa::load(p); }
    static FLATCONV_INLINE Vector load_some(const Stored* p, typename Isa::Lanes some) {
        return load_between<Isa>(p, some);
    }
    static FLATCONV_INLINE void store(Stored* p, Vector v) { Isa::store(p, v); }
    static FLATCONV_INLINE void store_first(Stored* p, Vector v, int n) { Isa::store_first(p, v, n); }
};

/// Some columns of sums, from top to bottom: Vectors of them, the last one of `last` lanes.
///
/// A row of the image is loaded once, and its vectors are shifted for each element of the kernel's rows. It serves as
/// every one of these, for as many rows of sums, which wait in registers until they have met all rows of the kernel:
///
///     waiting[0]   the row of sums whose kernel row 0 is that of the image now (with a stride, one of the first rows)
///     waiting[1]   the one above it, and so on
///
/// The first rows of sums of all lie above the first that is wanted: they are not complete, and the first one
/// overwrites them.
template <typename Isa, typename Pixels, int Size, int Stride, int Vectors>
void convolve_strip(const ImageConvolution<typename Isa::Scalar>& image, int64_t col, int last) {
    using Stored = typename Pixels::Stored;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;
    constexpr int rows = (Size + Stride - 1) / Stride;  // of sums that wait
    constexpr int loads = ((Vectors * lanes - 1) * Stride + Size - 1) / lanes + 1;
    constexpr int phase_vectors = Vectors + ((Size - 1) / Stride + lanes - 1) / lanes;
    constexpr bool keeps_weights = rows * Vectors + 2 * Vectors + Size * Size + 6 < Isa::registers;
    static_assert(loads * lanes <= ZeroRow<Stored>::length, "");

    const auto* const pixels_of_x = reinterpret_cast<const Stored*>(image.x);
    const int64_t first_col = image.first_col + col * Stride;
    // Only the first and the last pixels may lie outside of the image.
    constexpr int before = (Size - 1 + lanes - 1) / lanes, behind = (Vectors - 1) * Stride;
    typename Isa::Lanes inside[loads];
    unroll<loads>([&](auto l) {
        const int64_t at = first_col + l.value * lanes;
        if (l.value < before || l.value >= behind) inside[l.value] = lanes_between<Isa>(-at, image.x_cols - at);
    });
    Vector kept[keeps_weights ? Size * Size : 1];
    if constexpr (keeps_weights) {
        unroll<Size * Size>([&](auto k) { kept[k.value] = Isa::broadcast(image.weights + k.value); });
    }
    Vector waiting[rows][Vectors];
    unroll<rows>([&](auto r) { unroll<Vectors>([&](auto v) { waiting[r.value][v.value] = Isa::zero(); }); });

    int64_t x_row = image.first_row;
    for (int64_t row = 1 - rows; row < image.rows; ++row) {
        unroll<Vectors>([&](auto v) { waiting[0][v.value] = Isa::zero(); });
        // A row of the image is kernel row `phase`, phase + Stride, ….
        unroll<Stride>([&](auto phase) {
            const bool is_inside = uint64_t(x_row) < uint64_t(image.x_rows);
            const Stored* const x =
                is_inside ? pixels_of_x + x_row * image.x_row_stride + first_col : ZeroRow<Stored>::pixels;
            ++x_row;
            if (!is_inside && image.finite) return;
            constexpr int first = decltype(phase)::value;
            Vector loaded[loads];
            unroll<loads>([&](auto l) {
                const Stored* const from = x + l.value * lanes;
                const bool at_end = l.value < before || l.value >= behind;
                loaded[l.value] = at_end ? Pixels::load_some(from, inside[l.value]) : Pixels::load(from);
            });
            // The pixels at a distance of Stride, from the first one on and from the second.
            Vector pixels[Stride][phase_vectors];
            unroll<phase_vectors>([&](auto v) {
                constexpr int low = Stride * decltype(v)::value, high = low + 1 < loads ? low + 1 : low;
                if constexpr (Stride == 1) {
                    pixels[0][v.value] = loaded[v.value];
                } else {
                    pixels[0][v.value] = Isa::even(loaded[low], loaded[high]);
                    pixels[1][v.value] = Isa::odd(loaded[low], loaded[high]);
                }
            });
            unroll<Size>([&](auto k) {
                constexpr int column = decltype(k)::value, shift = column / Stride, vector = shift / lanes;
                Vector shifted[Vectors];
                unroll<Vectors>([&](auto v) {
                    const auto& from = pixels[column % Stride];
                    if constexpr (shift % lanes == 0) {
                        shifted[v.value] = from[v.value + vector];
                    } else {
                        shifted[v.value] =
                            Isa::template align<shift % lanes>(from[v.value + vector], from[v.value + vector + 1]);
                    }
                });
                unroll<rows>([&](auto r) {
                    constexpr int i = decltype(r)::value, kernel_row = i * Stride + first;
                    if constexpr (kernel_row < Size) {
                        constexpr int tap = kernel_row * Size + column;
                        const Vector weight =
                            keeps_weights ? kept[keeps_weights ? tap : 0] : Isa::broadcast(image.weights + tap);
                        unroll<Vectors>([&](auto v) {
                            waiting[i][v.value] = Isa::fma(weight, shifted[v.value], waiting[i][v.value]);
                        });
                    }
                });
            });
        });
        Stored* const y = reinterpret_cast<Stored*>(image.y) + (row < 0 ? 0 : row) * image.y_row_stride + col;
        finish_vectors<Isa>(waiting[rows - 1], *image.epilogue);
        unroll<Vectors>([&](auto v) {
            const Vector sum = waiting[rows - 1][v.value];
            if (v.value < Vectors - 1 || last == lanes) {
                Pixels::store(y + v.value * lanes, sum);
            } else {
                Pixels::store_first(y + v.value * lanes, sum, last);
            }
        });
        unroll<rows - 1>([&](auto r) {
            unroll<Vectors>(
                [&](auto v) { waiting[rows - 1 - r.value][v.value] = waiting[rows - 2 - r.value][v.value]; });
        });
    }
}

template <typename Isa, typename Pixels, int Size, int Stride, int Vectors>
FLATCONV_INLINE void convolve_strip_of(const ImageConvolution<typename Isa::Scalar>& image, int64_t col, int vectors,
                                       int last) {
    if constexpr (Vectors > 0) {
        if (vectors == Vectors) return convolve_strip<Isa, Pixels, Size, Stride, Vectors>(image, col, last);
        convolve_strip_of<Isa, Pixels, Size, Stride, Vectors - 1>(image, col, vectors, last);
    }
}

template <typename Isa, typename Pixels, int Size, int Stride>
void convolve_strips(const ImageConvolution<typename Isa::Scalar>& image) {
    constexpr int lanes = Isa::lanes;
    // Larger kernels have enough sums at a time with two vectors; and the code of all tiles is not worth it in double.
    constexpr bool two = Size > 3 || sizeof(typename Isa::Scalar) > sizeof(float);
    constexpr int most = two && Isa::image_vectors > 2 ? 2 : Isa::image_vectors;
    const int64_t vectors = (image.cols + lanes - 1) / lanes, strips = (vectors + most - 1) / most;
    int64_t first = 0;
    for (int64_t left = strips; left > 0; --left) {
        const int64_t count = (vectors - first + left - 1) / left;
        const int64_t cols = image.cols - (first + count - 1) * lanes;
        convolve_strip_of<Isa, Pixels, Size, Stride, most>(image, first * lanes, int(count),
                                                           cols < lanes ? int(cols) : lanes);
        first += count;
    }
}

/// Images of so many columns or more are walked by rows, which the machine fetches ahead, unlike strips.
template <typename Isa>
constexpr int64_t wide = 14 * Isa::lanes;

/// Rows of sums at a time; or 0, where there are strips alone.
template <typename Isa, int Stride>
constexpr int rows_at_once = Stride == 1 && Isa::masks_loads && Isa::registers >= 32 ? 4 : 0;

/// Some rows of sums from left to right, whose kernels meet no rows above or below the image.
///
/// Each row of the image is loaded once for all of them, and shifted as in strips. Two vectors go side by side, because
/// a chain of all multiply-adds of a sum leaves time for others. The rows that the next ones meet first are fetched
/// meanwhile.
template <typename Isa, typename Pixels, int Size>
void convolve_rows(const ImageConvolution<typename Isa::Scalar>& image, int64_t row) {
    using Stored = typename Pixels::Stored;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes, vectors = 2, rows = rows_at_once<Isa, 1>, met = rows + Size - 1;
    constexpr bool keeps_weights = rows * vectors + met + 2 * vectors + Size * Size < Isa::registers;
    static_assert(Size <= lanes, "");

    Vector kept[keeps_weights ? Size * Size : 1];
    if constexpr (keeps_weights) {
        unroll<Size * Size>([&](auto k) { kept[k.value] = Isa::broadcast(image.weights + k.value); });
    }
    const auto inside = [&](int64_t col) __attribute__((always_inline)) {
        return lanes_between<Isa>(-image.first_col - col, image.x_cols - image.first_col - col);
    };
    const Stored* x =
        reinterpret_cast<const Stored*>(image.x) + (image.first_row + row) * image.x_row_stride + image.first_col;
    Stored* y = reinterpret_cast<Stored*>(image.y) + row * image.y_row_stride;
    // The last vector of each row that is met: the next ones' first.
    Vector last[met];
    const typename Isa::Lanes first = inside(0);
    unroll<met>([&](auto m) { last[m.value] = Pixels::load_some(x + m.value * image.x_row_stride, first); });
    for (int64_t left = image.cols; left > 0; left -= vectors * lanes) {
        typename Isa::Lanes some[vectors];
        unroll<vectors>([&](auto v) { some[v.value] = inside(image.cols - left + (v.value + 1) * lanes); });
        Vector sums[rows][vectors];
        unroll<rows>([&](auto r) { unroll<vectors>([&](auto v) { sums[r.value][v.value] = Isa::zero(); }); });
        unroll<met>([&](auto m) __attribute__((always_inline)) {
            constexpr int row_met = decltype(m)::value;
            const Stored* const from = x + row_met * image.x_row_stride;
            Vector pixels[vectors + 1] = {last[row_met]};
            unroll<vectors>([&](auto v) {
                const Stored* const next = from + (v.value + 1) * lanes;
                if constexpr (row_met >= met - rows) __builtin_prefetch(next + rows * image.x_row_stride);
                pixels[v.value + 1] = Pixels::load_some(next, some[v.value]);
            });
            last[row_met] = pixels[vectors];
            unroll<Size>([&](auto k) __attribute__((always_inline)) {
                constexpr int column = decltype(k)::value;
                Vector shifted[vectors];
                unroll<vectors>([&](auto v) {
                    shifted[v.value] = pixels[v.value];
                    if constexpr (column > 0) {
                        shifted[v.value] = Isa::template align<column>(pixels[v.value], pixels[v.value + 1]);
                    }
                });
                unroll<rows>([&](auto r) __attribute__((always_inline)) {
                    constexpr int kernel_row = row_met - decltype(r)::value;
                    if constexpr (kernel_row >= 0 && kernel_row < Size) {
                        constexpr int tap = kernel_row * Size + column;
                        const Vector weight =
                            keeps_weights ? kept[keeps_weights ? tap : 0] : Isa::broadcast(image.weights + tap);
                        unroll<vectors>([&](auto v) {
                            sums[r.value][v.value] = Isa::fma(weight, shifted[v.value], sums[r.value][v.value]);
                        });
                    }
                });
            });
        });
        unroll<rows>([&](auto r) {
            finish_vectors<Isa>(sums[r.value], *image.epilogue);
            unroll<vectors>([&](auto v) {
                Stored* const to = y + r.value * image.y_row_stride + v.value * lanes;
                const int64_t count = left - v.value * lanes;
                if (count >= lanes) {
                    Pixels::store(to, sums[r.value][v.value]);
                } else if (count > 0) {
                    Pixels::store_first(to, sums[r.value][v.value], int(count));
                }
            });
        });
        x += vectors * lanes;
        y += vectors * lanes;
    }
}

/// What convolve_strips does, for wide images.
template <typename Isa, typename Pixels, int Size>
void convolve_wide(const ImageConvolution<typename Isa::Scalar>& image) {
    constexpr int at_once = rows_at_once<Isa, 1>;
    const auto within = [&](int64_t row) { return row < 0 ? 0 : row > image.rows ? image.rows : row; };
    // Rows of sums from `first` to `end` meet rows of the image alone.
    int64_t first = within(-image.first_row), end = within(image.x_rows - image.first_row - (Size - 1));
    if (end - first < at_once) first = end = image.rows;
    const auto strips = [&](int64_t begin, int64_t behind) {
        if (begin == behind) return;
        ImageConvolution<typename Isa::Scalar> part = image;
        part.first_row += begin;
        part.y = reinterpret_cast<typename Isa::Scalar*>(reinterpret_cast<typename Pixels::Stored*>(image.y) +
                                                         begin * image.y_row_stride);
        part.rows = behind - begin;
        convolve_strips<Isa, Pixels, Size, 1>(part);
    };
    strips(0, first);
    // The last ones may be computed twice.
    for (int64_t row = first; row < end; row += at_once) {
        convolve_rows<Isa, Pixels, Size>(image, row < end - at_once ? row : end - at_once);
    }
    strips(end, image.rows);
}

/// Whether products with zeros are zeros.
template <typename Isa>
bool are_finite(const typename Isa::Scalar* weights, int count) {
    typename Isa::Vector sum = Isa::zero();
    for (int k = 0; k < count; k += Isa::lanes) {
        const int left = count - k;
        const auto some = left < Isa::lanes ? Isa::load_first(weights + k, left) : Isa::load(weights + k);
        sum = Isa::fma(some, Isa::zero(), sum);
    }
    typename Isa::Scalar lane[Isa::lanes];
    Isa::store(lane, sum);
    bool zeros = true;
    for (const auto zero : lane) zeros &= zero == 0;
    return zeros;
}

/// What follows the bias, for sums that are stored.
template <typename Isa>
void add_residual(const ImageConvolution<typename Isa::Scalar>& image) {
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;
    for (int64_t row = 0; row < image.rows; ++row) {
        typename Isa::Scalar* const y = image.y + row * image.y_row_stride;
        const typename Isa::Scalar* const residual = image.epilogue->residual + row * image.residual_row_stride;
        for (int64_t col = 0; col < image.cols; col += lanes) {
            const int count = image.cols - col < lanes ? int(image.cols - col) : lanes;
            const Vector sum = count == lanes ? Isa::load(y + col) : Isa::load_first(y + col, count);
            const Vector finished = finish<Isa>(sum, Isa::zero(), residual + col, count, *image.epilogue);
            if (count == lanes) {
                Isa::store(y + col, finished);
            } else {
                Isa::store_first(y + col, finished, count);
            }
        }
    }
}

template <typename Isa, typename Pixels, int Size, int Stride>
FLATCONV_INLINE void convolve_strips_if(const ImageConvolution<typename Isa::Scalar>& image) {
    if constexpr (convolves_images<typename Isa::Scalar>(Size, Stride)) {
        if (image.size != Size || image.stride != Stride) return;
        if constexpr (rows_at_once<Isa, Stride> > 0) {
            if (image.cols >= wide<Isa>) return convolve_wide<Isa, Pixels, Size>(image);
        }
        convolve_strips<Isa, Pixels, Size, Stride>(image);
    }
}

template <typename Isa>
void convolve_image(const ImageConvolution<typename Isa::Scalar>& image) {
    using Pixels = AsNumbers<Isa>;
    const bool convolved = convolve_small_images<Isa>(image);
    if (convolved && !image.epilogue->residual && image.epilogue->curve == Curve::none) return;
    ImageConvolution<typename Isa::Scalar> channel = image;
    Epilogue<typename Isa::Scalar> epilogue = *image.epilogue;
    channel.epilogue = &epilogue;
    for (int64_t c = 0; c < image.channels; ++c) {
        if (image.tap_step != 0) {
            convolve_lines<Isa>(channel);
        } else if (!convolved) {
            channel.finite = image.finite || are_finite<Isa>(channel.weights, image.size * image.size);
            convolve_strips_if<Isa, Pixels, 3, 1>(channel);
            convolve_strips_if<Isa, Pixels, 3, 2>(channel);
            convolve_strips_if<Isa, Pixels, 5, 1>(channel);
            convolve_strips_if<Isa, Pixels, 5, 2>(channel);
            convolve_strips_if<Isa, Pixels, 7, 1>(channel);
        }
        if (epilogue.residual) {
            add_residual<Isa>(channel);
            epilogue.residual += epilogue.residual_stride;
        }
        bend_stored<Isa>(&epilogue, channel.y, channel.y_row_stride, channel.rows, channel.cols);
        ++epilogue.bias;
        channel.x += image.x_channel_stride;
        channel.weights += image.weights_stride;
        channel.y += image.y_channel_stride;
    }
}

}  // namespace
}  // namespace flatconv

#endif
