// The kernel for gradients of the weights of groups of one or a few channels, with lanes across the channels.
// kernels.hpp brings it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_GRADIENT_KERNEL_HPP
#define FLATCONV_KERNELS_GRADIENT_KERNEL_HPP

#include "kernels/kernel_set.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// As many kernel elements as are summed at the same time: so many that no sum waits for its last multiply-add, and so
/// few that each has a pointer of its own.
constexpr int most_gradient_taps = 9;

/// Some kernel elements, each wherever its offset says.
template <typename Isa, int Taps>
FLATCONV_INLINE void walk_positions(const ChannelwiseGradient<typename Isa::Scalar>& gradient, int64_t first,
                                    typename Isa::Vector (&acc)[Taps]) {
    using Scalar = typename Isa::Scalar;
    const Scalar* dy = gradient.dy;
    for (int64_t r = 0; r < gradient.rows; ++r) {
        const Scalar* at[Taps];
        const Scalar* const row = gradient.band + r * gradient.row_step;
        unroll<Taps>([&](auto t) { at[t.value] = row + gradient.offsets[first + t.value]; });
        ptrdiff_t i = 0;
        const Scalar* const end = dy + gradient.cols * Isa::lanes;
        for (; dy != end; dy += Isa::lanes, i += gradient.column_step) {
            const typename Isa::Vector factor = Isa::load(dy);
            unroll<Taps>([&](auto t) { acc[t.value] = Isa::fma(factor, Isa::load(at[t.value] + i), acc[t.value]); });
        }
    }
}

/// Three kernel rows of three neighbours, for positions `Step` apart: what a kernel element meets, the one before it
/// meets soon after, and is not loaded again.
template <typename Isa, int Step>
FLATCONV_INLINE void walk_rows(const ChannelwiseGradient<typename Isa::Scalar>& gradient, int64_t first,
                               typename Isa::Vector (&acc)[most_gradient_taps]) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes, columns = 3, known = columns - Step;
    const Scalar* dy = gradient.dy;
    for (int64_t r = 0; r < gradient.rows; ++r) {
        const Scalar* at[columns];
        typename Isa::Vector met[columns][columns];  // of each kernel row, the positions modulo three
        unroll<columns>([&](auto t) {
            at[t.value] = gradient.band + r * gradient.row_step + gradient.offsets[first + t.value * columns];
            unroll<known>([&](auto k) { met[t.value][k.value] = Isa::load(at[t.value] + k.value * lanes); });
        });
        const auto add = [&](auto col) __attribute__((always_inline)) {
            const typename Isa::Vector factor = Isa::load(dy);
            dy += lanes;
            unroll<columns>([&](auto t) {
                unroll<Step>([&](auto s) {
                    constexpr int position = known + decltype(s)::value;
                    met[t.value][(col.value * Step + position) % columns] = Isa::load(at[t.value] + position * lanes);
                });
                at[t.value] += Step * lanes;
                unroll<columns>([&](auto k) {
                    auto& sum = acc[t.value * columns + k.value];
                    sum = Isa::fma(factor, met[t.value][(col.value * Step + k.value) % columns], sum);
                });
            });
        };
        int64_t left = gradient.cols;
        for (; left >= columns; left -= columns) unroll<columns>(add);
        if (left > 0) add(Constant<0>{});
        if (left > 1) add(Constant<1>{});
    }
}

/// Step is that of walk_rows, or 0.
template <typename Isa, int Taps, int Step = 0>
__attribute__((noinline)) void add_gradients(const ChannelwiseGradient<typename Isa::Scalar>& gradient, int64_t first) {
    constexpr int lanes = Isa::lanes;
    auto* const block = gradient.block + first * lanes;
    typename Isa::Vector acc[Taps];
    unroll<Taps>([&](auto t) { acc[t.value] = gradient.begins ? Isa::zero() : Isa::load(block + t.value * lanes); });
    if constexpr (Step > 0) {
        walk_rows<Isa, Step>(gradient, first, acc);
    } else {
        walk_positions<Isa>(gradient, first, acc);
    }
    if (!gradient.sums) return unroll<Taps>([&](auto t) { Isa::store(block + t.value * lanes, acc[t.value]); });
    auto* const sums = gradient.sums + first * lanes;
    unroll<Taps>([&](auto t) {
        const auto sum = acc[t.value];
        Isa::store(sums + t.value * lanes,
                   gradient.accumulates ? Isa::add(Isa::load(sums + t.value * lanes), sum) : sum);
    });
}

template <typename Isa>
void channelwise_gradient(const ChannelwiseGradient<typename Isa::Scalar>& gradient) {
    auto add_most = add_gradients<Isa, most_gradient_taps>;
    if constexpr (Isa::image_vectors > 0) {
        if constexpr (Isa::registers >= 32) {
            const bool of_three = gradient.kernel_columns == 3;
            if (of_three && gradient.column_step == Isa::lanes) add_most = add_gradients<Isa, most_gradient_taps, 1>;
            if (of_three && gradient.column_step == 2 * Isa::lanes)
                add_most = add_gradients<Isa, most_gradient_taps, 2>;
        }
    }
    int64_t first = 0;
    for (; first + most_gradient_taps <= gradient.taps; first += most_gradient_taps) add_most(gradient, first);
    for (; first + 3 <= gradient.taps; first += 3) add_gradients<Isa, 3>(gradient, first);
    for (; first < gradient.taps; ++first) add_gradients<Isa, 1>(gradient, first);
}

}  // namespace
}  // namespace flatconv

#endif
