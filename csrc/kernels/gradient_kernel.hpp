// The kernel for gradients of the weights of groups of a single input channel, with lanes across the channels.
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

template <typename Isa, int Taps>
__attribute__((noinline)) void add_gradients(const ChannelwiseGradient<typename Isa::Scalar>& gradient, int64_t first) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    Scalar* const sums = gradient.sums + first * lanes;
    typename Isa::Vector acc[Taps];
    unroll<Taps>([&](auto t) { acc[t.value] = Isa::load(sums + t.value * lanes); });
    const Scalar* dy = gradient.dy;
    for (int64_t r = 0; r < gradient.rows; ++r) {
        const Scalar* at[Taps];
        const Scalar* const row = gradient.band + r * gradient.row_step;
        unroll<Taps>([&](auto t) { at[t.value] = row + gradient.offsets[first + t.value]; });
        for (int64_t i = 0; i < gradient.cols * lanes; i += lanes) {
            const typename Isa::Vector factor = Isa::load(dy + i);
            unroll<Taps>([&](auto t) { acc[t.value] = Isa::fma(factor, Isa::load(at[t.value] + i), acc[t.value]); });
        }
        dy += gradient.cols * lanes;
    }
    unroll<Taps>([&](auto t) { Isa::store(sums + t.value * lanes, acc[t.value]); });
}

template <typename Isa, int Taps = most_gradient_taps>
FLATCONV_INLINE void add_gradients_of(const ChannelwiseGradient<typename Isa::Scalar>& gradient, int64_t first,
                                      int64_t count) {
    if constexpr (Taps > 0) {
        if (count == Taps) return add_gradients<Isa, Taps>(gradient, first);
        add_gradients_of<Isa, Taps - 1>(gradient, first, count);
    }
}

template <typename Isa>
void channelwise_gradient(const ChannelwiseGradient<typename Isa::Scalar>& gradient) {
    // Few parts, all nearly alike.
    const int64_t parts = (gradient.taps + most_gradient_taps - 1) / most_gradient_taps;
    for (int64_t first = 0, part = parts; part > 0; --part) {
        const int64_t count = (gradient.taps - first + part - 1) / part;
        add_gradients_of<Isa>(gradient, first, count);
        first += count;
    }
}

}  // namespace
}  // namespace flatconv

#endif
