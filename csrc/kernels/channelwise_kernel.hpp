// The kernels for groups of one or a few input channels, with lanes across the channels: the convolution, and the way
// of the pixels into the order that it reads. kernels.hpp brings them into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_CHANNELWISE_KERNEL_HPP
#define FLATCONV_KERNELS_CHANNELWISE_KERNEL_HPP

#include "kernels/packing.hpp"

namespace flatconv {
namespace {

/// How a kernel's elements find their pixels: each wherever its offset says.
struct AnyTaps {};

/// Rows of `Columns` elements that read neighbouring positions, for pixels that lie `Step` positions apart: a position
/// is loaded once for all elements that read it.
template <int Columns, int Step>
struct RowsOfTaps {
    template <typename Isa>
    FLATCONV_INLINE typename Isa::Vector load(const typename Isa::Scalar* position) const {
        return Isa::load(position);
    }
};

/// The same where each lane takes another one of the position.
template <typename Isa, int Columns, int Step>
struct PickedRowsOfTaps {
    typename Isa::Places places;

    template <typename>
    FLATCONV_INLINE typename Isa::Vector load(const typename Isa::Scalar* position) const {
        return Isa::pick(Isa::load(position), places);
    }
};

template <typename Isa, int Pixels>
FLATCONV_INLINE void add_taps(AnyTaps, const ChannelwisePlane<typename Isa::Scalar>& plane,
                              const typename Isa::Scalar* first, typename Isa::Vector (&acc)[Pixels]) {
    using Scalar = typename Isa::Scalar;
    // As in the micro-kernel: at, at + step and at + 2 · step are addressing modes.
    constexpr int each = 3, pointers = (Pixels + each - 1) / each;
    const ptrdiff_t step = plane.pixel_step * Isa::lanes * ptrdiff_t(sizeof(Scalar));
    const char* const base = reinterpret_cast<const char*>(first);
    const ptrdiff_t* const offsets = plane.offsets + plane.depth;
    const Scalar* weights = plane.weights;
    for (int64_t d = -plane.depth; d != 0; ++d) {
        const typename Isa::Vector weight = Isa::load(weights);
        weights += plane.weights_stride;
        const char* at[pointers];
        at[0] = base + offsets[d] * ptrdiff_t(sizeof(Scalar));
        asm("" : "+r"(at[0]));
        unroll<pointers - 1>([&](auto p) {
            at[p.value + 1] = at[p.value] + each * step;
            asm("" : "+r"(at[p.value + 1]));
        });
        unroll<Pixels>([&](auto p) {
            const char* pixel = at[p.value / each] + (p.value % each) * step;
            acc[p.value] = Isa::fma(weight, Isa::load(reinterpret_cast<const Scalar*>(pixel)), acc[p.value]);
        });
    }
}

template <typename Isa, int Columns, int Step, typename Taps, int Pixels>
FLATCONV_INLINE void add_rows_of_taps(const Taps& taps, const ChannelwisePlane<typename Isa::Scalar>& plane,
                                      int64_t depth, int64_t end, const typename Isa::Scalar* first,
                                      typename Isa::Vector (&acc)[Pixels]) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    const Scalar* weights = plane.weights + depth * plane.weights_stride;
    for (int64_t d = depth; d < end; d += Columns) {
        const Scalar* const row = first + plane.offsets[d];
        Vector weight[Columns];
        unroll<Columns>([&](auto k) { weight[k.value] = Isa::load(weights + k.value * plane.weights_stride); });
        weights += Columns * plane.weights_stride;
        unroll<(Pixels - 1) * Step + Columns>([&](auto i) {
            const Vector pixel = taps.template load<Isa>(row + i.value * Isa::lanes);
            unroll<Columns>([&](auto k) {
                constexpr int distance = decltype(i)::value - decltype(k)::value, p = distance / Step;
                if constexpr (distance >= 0 && distance % Step == 0 && p < Pixels) {
                    acc[p] = Isa::fma(weight[k.value], pixel, acc[p]);
                }
            });
        });
    }
}

template <typename Isa, int Pixels, int Columns, int Step>
FLATCONV_INLINE void add_taps(RowsOfTaps<Columns, Step> taps, const ChannelwisePlane<typename Isa::Scalar>& plane,
                              const typename Isa::Scalar* first, typename Isa::Vector (&acc)[Pixels]) {
    add_rows_of_taps<Isa, Columns, Step>(taps, plane, 0, plane.depth, first, acc);
}

template <typename Isa, int Pixels, int Columns, int Step>
FLATCONV_INLINE void add_taps(PickedRowsOfTaps<Isa, Columns, Step> taps,
                              const ChannelwisePlane<typename Isa::Scalar>& plane, const typename Isa::Scalar* first,
                              typename Isa::Vector (&acc)[Pixels]) {
    const int32_t* places = plane.places;
    for (int64_t d = 0; d < plane.depth; d += plane.taps, places += Isa::lanes) {
        taps.places = Isa::load_places(places);
        add_rows_of_taps<Isa, Columns, Step>(taps, plane, d, d + plane.taps, first, acc);
    }
}

/// Some neighbouring columns of pixels: a vector of sums for each pixel of a row.
template <typename Isa, typename Taps, int Pixels>
__attribute__((noinline)) void convolve_columns(const ChannelwisePlane<typename Isa::Scalar>& plane, int64_t first) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    const Scalar* row = plane.band + first * plane.pixel_step * lanes;
    Scalar* sums = plane.sums + first * lanes;
    for (int64_t r = 0; r < plane.rows; ++r) {
        typename Isa::Vector acc[Pixels];
        unroll<Pixels>([&](auto p) { acc[p.value] = Isa::zero(); });
        add_taps<Isa>(Taps{}, plane, row, acc);
        if (plane.accumulate) {
            unroll<Pixels>([&](auto p) { acc[p.value] = Isa::add(Isa::load(sums + p.value * lanes), acc[p.value]); });
        }
        unroll<Pixels>([&](auto p) { Isa::store(sums + p.value * lanes, acc[p.value]); });
        row += plane.row_step * lanes;
        sums += plane.cols * lanes;
    }
}

template <typename Isa, typename Taps, int Pixels = Isa::channelwise_pixels>
FLATCONV_INLINE void convolve_count(const ChannelwisePlane<typename Isa::Scalar>& plane, int64_t first, int count) {
    if constexpr (Pixels > 0) {
        if (count == Pixels) return convolve_columns<Isa, Taps, Pixels>(plane, first);
        convolve_count<Isa, Taps, Pixels - 1>(plane, first, count);
    }
}

template <typename Isa, typename Taps>
void convolve_plane(const ChannelwisePlane<typename Isa::Scalar>& plane) {
    // Few parts, all nearly alike.
    const int64_t parts = (plane.cols + Isa::channelwise_pixels - 1) / Isa::channelwise_pixels;
    for (int64_t first = 0, part = parts; part > 0; --part) {
        const int64_t count = (plane.cols - first + part - 1) / part;
        convolve_count<Isa, Taps>(plane, first, int(count));
        first += count;
    }
}

template <typename Isa, int Step>
bool convolve_rows_of_taps(const ChannelwisePlane<typename Isa::Scalar>& plane) {
    if (plane.pixel_step != Step) return false;
    if constexpr (Isa::picks) {
        if (plane.places) {
            convolve_plane<Isa, PickedRowsOfTaps<Isa, 3, Step>>(plane);
            return true;
        }
    }
    switch (plane.kernel_columns) {
        case 3: convolve_plane<Isa, RowsOfTaps<3, Step>>(plane); return true;
        case 5: convolve_plane<Isa, RowsOfTaps<5, Step>>(plane); return true;
        case 7: convolve_plane<Isa, RowsOfTaps<7, Step>>(plane); return true;
        default: return false;
    }
}

template <typename Isa>
void convolve_channelwise(const ChannelwisePlane<typename Isa::Scalar>& plane) {
    if (convolve_rows_of_taps<Isa, 1>(plane) || convolve_rows_of_taps<Isa, 2>(plane)) return;
    convolve_plane<Isa, AnyTaps>(plane);
}

/// `count` pixels from `first` on, at most a vector of them, as vectors of channels.
template <typename Isa, bool Whole>
FLATCONV_INLINE void spread_block(const PixelSpread<typename Isa::Scalar>& spread, int64_t first, int count) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    typename Isa::Vector v[lanes];
    unroll<lanes>([&](auto r) {
        if (Whole || r.value < spread.channels) {
            const Scalar* const from = spread.channel[r.value] + first;
            if constexpr (Whole) __builtin_prefetch(from + 8 * lanes);
            v[r.value] = Whole || count == lanes ? Isa::load(from) : Isa::load_first(from, count);
        } else {
            v[r.value] = Isa::zero();
        }
    });
    transpose_square<Isa>(v);
    const ptrdiff_t* const targets = spread.targets + first;
    unroll<lanes>([&](auto p) {
        if (Whole || p.value < count) Isa::store(spread.to + targets[p.value], v[p.value]);
    });
}

template <typename Isa>
void spread_pixels(const PixelSpread<typename Isa::Scalar>& spread) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    const bool whole = spread.channels == lanes;
    int64_t p = 0;
    if (spread.channels_step == 1) {
        const Scalar* from = spread.channel[0];
        for (; p < spread.pixels; ++p, from += spread.pixel_step) {
            Isa::store(spread.to + spread.targets[p], whole ? Isa::load(from) : Isa::load_first(from, spread.channels));
        }
        return;
    }
    if (spread.pixel_step == 1) {
        if (whole) {
            for (; p + lanes <= spread.pixels; p += lanes) spread_block<Isa, true>(spread, p, lanes);
        }
        // One or two pixels are not worth a block, nor is one with gaps where pixels can come twice.
        if (spread.pixels - p > 2) {
            if (whole && spread.pixels > lanes) return spread_block<Isa, true>(spread, spread.pixels - lanes, lanes);
            for (; p < spread.pixels; p += lanes) {
                spread_block<Isa, false>(spread, p, int(spread.pixels - p < lanes ? spread.pixels - p : lanes));
            }
            return;
        }
    }
    for (; p < spread.pixels; ++p) {
        Scalar* const to = spread.to + spread.targets[p];
        if (!whole) Isa::store(to, Isa::zero());
        for (int l = 0; l < spread.channels; ++l) to[l] = spread.channel[l][p * spread.pixel_step];
    }
}

}  // namespace
}  // namespace flatconv

#endif
