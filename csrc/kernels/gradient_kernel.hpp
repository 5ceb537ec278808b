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
        ptrdiff_t i = 0;
        for (const Scalar* const end = dy + gradient.cols * lanes; dy != end; dy += lanes, i += gradient.column_step) {
            const typename Isa::Vector factor = Isa::load(dy);
            unroll<Taps>([&](auto t) { acc[t.value] = Isa::fma(factor, Isa::load(at[t.value] + i), acc[t.value]); });
        }
    }
    unroll<Taps>([&](auto t) { Isa::store(sums + t.value * lanes, acc[t.value]); });
}

template <typename Isa>
void channelwise_gradient(const ChannelwiseGradient<typename Isa::Scalar>& gradient) {
    int64_t first = 0;
    for (; first + most_gradient_taps <= gradient.taps; first += most_gradient_taps) {
        add_gradients<Isa, most_gradient_taps>(gradient, first);
    }
    for (; first + 3 <= gradient.taps; first += 3) add_gradients<Isa, 3>(gradient, first);
    for (; first < gradient.taps; ++first) add_gradients<Isa, 1>(gradient, first);
}

}  // namespace
}  // namespace flatconv

#endif
