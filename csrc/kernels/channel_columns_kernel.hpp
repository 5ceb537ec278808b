// The kernel for channels that are convolved each for itself and are the innermost axis, with lanes across them, which
// reads the image where it lies; kernels.hpp brings it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_CHANNEL_COLUMNS_KERNEL_HPP
#define FLATCONV_KERNELS_CHANNEL_COLUMNS_KERNEL_HPP

#include "kernels/image_kernel.hpp"

namespace flatconv {
namespace {

/// Finishes and stores the sums of the columns in a row, of `count` channels from `first` on.
template <typename Isa, int Pixels>
FLATCONV_INLINE void finish_pixels(const ChannelColumns<typename Isa::Scalar>& columns, int64_t row, int64_t first,
                                   int count, typename Isa::Vector (&sums)[Pixels]) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    const auto some = lanes_between<Isa>(0, count);
    const Epilogue<Scalar>& epilogue = *columns.epilogue;
    const Vector bias = load_between<Isa>(epilogue.bias + first, some);
    unroll<Pixels>([&](auto p) { sums[p.value] = Isa::add(sums[p.value], bias); });
    if (epilogue.residual) {
        const Scalar* const residual = epilogue.residual + row * columns.residual_row_stride + first;
        unroll<Pixels>([&](auto p) {
            const Scalar* const added = residual + p.value * epilogue.residual_stride;
            sums[p.value] = Isa::add(sums[p.value], load_between<Isa>(added, some));
        });
    }
    if (epilogue.clamps) {
        const Vector low = Isa::broadcast(&epilogue.low);
        unroll<Pixels>([&](auto p) { sums[p.value] = Isa::max(low, sums[p.value]); });
        const Vector high = Isa::broadcast(&epilogue.high);
        unroll<Pixels>([&](auto p) { sums[p.value] = Isa::min(high, sums[p.value]); });
    }
    Scalar* const y = columns.y + row * columns.y_row_stride + first;
    if (count == Isa::lanes) {
        unroll<Pixels>([&](auto p) { Isa::store(y + p.value * columns.y_pixel_stride, sums[p.value]); });
    } else {
        unroll<Pixels>([&](auto p) { Isa::store_first(y + p.value * columns.y_pixel_stride, sums[p.value], count); });
    }
}

/// `count` channels from `first` on, at most a vector of them, from top to bottom.
///
/// As in strips of an image, a row of it serves as every row of the kernel, for as many rows of sums that wait in
/// registers. What limits it are loads, of which a position takes one for all of them.
template <typename Isa, int Size, int Stride>
void convolve_channels(const ChannelColumns<typename Isa::Scalar>& columns, int64_t first, int count,
                       const typename Isa::Scalar* weights, ptrdiff_t weights_stride) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int pixels = channel_columns(Size), positions = (pixels - 1) * Stride + Size;
    constexpr int rows = (Size + Stride - 1) / Stride;  // of sums that wait
    constexpr bool keeps_weights = rows * pixels + Size * Size + 2 <= Isa::registers;
    static_assert(keeps_weights || rows * pixels + positions + 1 <= Isa::registers, "");

    const auto some = lanes_between<Isa>(0, count);
    Vector kept[keeps_weights ? Size * Size : 1];
    if constexpr (keeps_weights) {
        unroll<Size * Size>([&](auto k) { kept[k.value] = Isa::load(weights + k.value * weights_stride); });
    }
    Vector waiting[rows][pixels];
    unroll<rows>([&](auto r) { unroll<pixels>([&](auto p) { waiting[r.value][p.value] = Isa::zero(); }); });

    const Scalar* const* at = columns.positions;
    for (int64_t row = 1 - rows; row < columns.rows; ++row) {
        unroll<pixels>([&](auto p) { waiting[0][p.value] = Isa::zero(); });
        // A row of the image is kernel row `phase`, phase + Stride, ….
        unroll<Stride>([&](auto phase) __attribute__((always_inline)) {
            constexpr int first_kernel_row = decltype(phase)::value;
            const auto add = [&](Vector& sum, Vector weight, Vector position)
                                 __attribute__((always_inline)) { sum = Isa::fma(weight, position, sum); };
            if constexpr (keeps_weights) {
                unroll<positions>([&](auto i) {
                    const Vector position = load_between<Isa>(at[i.value] + first, some);
                    unroll<Size>([&](auto k) {
                        constexpr int distance = decltype(i)::value - decltype(k)::value, p = distance / Stride;
                        if constexpr (distance >= 0 && distance % Stride == 0 && p < pixels) {
                            unroll<rows>([&](auto r) {
                                constexpr int kernel_row = decltype(r)::value * Stride + first_kernel_row;
                                if constexpr (kernel_row < Size) {
                                    add(waiting[r.value][p], kept[kernel_row * Size + k.value], position);
                                }
                            });
                        }
                    });
                });
            } else {
                // Each is loaded for the first column that reads it, so that few wait in registers.
                Vector loaded[positions];
                unroll<Size>([&](auto k) __attribute__((always_inline)) {
                    constexpr int column = decltype(k)::value;
                    unroll<pixels>([&](auto p) {
                        constexpr int i = decltype(p)::value * Stride + column;
                        constexpr bool is_first = column < Stride || decltype(p)::value == pixels - 1;
                        if constexpr (is_first) loaded[i] = load_between<Isa>(at[i] + first, some);
                    });
                    unroll<rows>([&](auto r) __attribute__((always_inline)) {
                        constexpr int kernel_row = decltype(r)::value * Stride + first_kernel_row;
                        if constexpr (kernel_row < Size) {
                            const Vector weight = Isa::load(weights + (kernel_row * Size + column) * weights_stride);
                            unroll<pixels>([&](auto p) {
                                add(waiting[r.value][p.value], weight, loaded[p.value * Stride + column]);
                            });
                        }
                    });
                });
            }
            at += positions;
        });
        if (row >= 0) finish_pixels<Isa>(columns, row, first, count, waiting[rows - 1]);
        unroll<rows - 1>([&](auto r) {
            unroll<pixels>(
                [&](auto p) { waiting[rows - 1 - r.value][p.value] = waiting[rows - 2 - r.value][p.value]; });
        });
    }
}

/// The same for kernels whose sums cannot all wait: a row of sums meets one kernel row after the other. Their length
/// makes up for the loads, of which a position takes one for each kernel row.
template <typename Isa, int Size>
void convolve_channel_rows(const ChannelColumns<typename Isa::Scalar>& columns, int64_t first, int count,
                           const typename Isa::Scalar* weights, ptrdiff_t weights_stride) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int pixels = channel_columns(Size), positions = pixels - 1 + Size;
    const auto some = lanes_between<Isa>(0, count);
    for (int64_t row = 0; row < columns.rows; ++row) {
        Vector sums[pixels];
        unroll<pixels>([&](auto p) { sums[p.value] = Isa::zero(); });
        const Scalar* const* at = columns.positions + row * positions;
        const Scalar* weight = weights;
        for (int kernel_row = 0; kernel_row < Size; ++kernel_row, at += positions) {
            Vector loaded[positions];
            unroll<Size>([&](auto k) __attribute__((always_inline)) {
                const Vector factor = Isa::load(weight);
                weight += weights_stride;
                unroll<pixels>([&](auto p) __attribute__((always_inline)) {
                    constexpr int column = decltype(k)::value, i = decltype(p)::value + column;
                    if constexpr (column == 0 || decltype(p)::value == pixels - 1) {
                        loaded[i] = load_between<Isa>(at[i] + first, some);
                    }
                    sums[p.value] = Isa::fma(factor, loaded[i], sums[p.value]);
                });
            });
        }
        finish_pixels<Isa>(columns, row, first, count, sums);
    }
}

template <typename Isa, int Size, int Stride>
FLATCONV_INLINE void convolve_channels_if(const ChannelColumns<typename Isa::Scalar>& columns) {
    if constexpr (convolves_images<typename Isa::Scalar>(Size, Stride)) {
        if (columns.size != Size || columns.stride != Stride) return;
        constexpr int lanes = Isa::lanes, panel = Isa::panel_vectors * lanes;
        const int64_t width = (columns.channels + lanes - 1) / lanes * lanes;
        for (int64_t first = 0; first < columns.channels; first += lanes) {
            const int64_t in_panel = first % panel, panel_begin = first - in_panel, left = columns.channels - first;
            const int64_t panel_width = width - panel_begin < panel ? width - panel_begin : panel;
            const int count = left < lanes ? int(left) : lanes;
            const auto* const weights = columns.weights + panel_begin * Size * Size + in_panel;
            if constexpr (Size < 7) {
                convolve_channels<Isa, Size, Stride>(columns, first, count, weights, ptrdiff_t(panel_width));
            } else {
                convolve_channel_rows<Isa, Size>(columns, first, count, weights, ptrdiff_t(panel_width));
            }
        }
    }
}

template <typename Isa>
void convolve_channel_columns(const ChannelColumns<typename Isa::Scalar>& columns) {
    convolve_channels_if<Isa, 3, 1>(columns);
    convolve_channels_if<Isa, 3, 2>(columns);
    convolve_channels_if<Isa, 5, 1>(columns);
    convolve_channels_if<Isa, 5, 2>(columns);
    convolve_channels_if<Isa, 7, 1>(columns);
    for (int64_t row = 0; row < columns.rows; ++row) {
        bend_stored<Isa>(columns.epilogue, columns.y + row * columns.y_row_stride, columns.y_pixel_stride,
                         channel_columns(columns.size), columns.channels);
    }
}

}  // namespace
}  // namespace flatconv

#endif
