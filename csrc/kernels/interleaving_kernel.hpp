// The kernel that interleaves the phases of a transposed convolution, and finishes them; kernels.hpp brings it into
// every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_INTERLEAVING_KERNEL_HPP
#define FLATCONV_KERNELS_INTERLEAVING_KERNEL_HPP

#include "kernels/packing.hpp"

namespace flatconv {
namespace {

/// A part of a row, finished. `from` is read by whole vectors.
template <typename Isa>
__attribute__((noinline)) void finish_part(const typename Isa::Scalar* from, int64_t cols, typename Isa::Scalar* to,
                                           const Epilogue<typename Isa::Scalar>& epilogue,
                                           const typename Isa::Scalar* residual, bool streams) {
    constexpr int lanes = Isa::lanes;
    const typename Isa::Vector bias = Isa::broadcast(epilogue.bias);
    for (int64_t c = 0; c < cols; c += lanes) {
        const int some = cols - c < lanes ? int(cols - c) : lanes;
        const auto sum = finish<Isa>(Isa::load(from + c), bias, residual ? residual + c : nullptr, some, epilogue);
        if (some < lanes) {
            Isa::store_first(to + c, sum, some);
            continue;
        }
        if constexpr (writes_lines<Isa>) {
            if (streams) {
                Isa::stream(to + c, sum);
                continue;
            }
        }
        Isa::store(to + c, sum);
    }
}

/// Whole vectors of a row, in turns from the columns at `from_col` on, until there are `cols`.
template <typename Isa, int Count>
FLATCONV_INLINE void take_turns(const Interleaving<typename Isa::Scalar>& m, ptrdiff_t from_col, int64_t cols,
                                typename Isa::Scalar* to) {
    for (int64_t c = 0; c < cols; c += Count * Isa::lanes, from_col += Isa::lanes) {
        typename Isa::Vector v[Count];
        unroll<Count>([&](auto k) { v[k.value] = Isa::load(m.from[k.value] + from_col); });
        shuffle<Isa, Count>(v);
        unroll<Count>([&](auto k) { Isa::store(to + c + k.value * Isa::lanes, v[k.value]); });
    }
}

template <typename Isa>
void interleave_columns(const Interleaving<typename Isa::Scalar>& m) {
    using Scalar = typename Isa::Scalar;
    const Scalar zero = 0;
    const Epilogue<Scalar> none{&zero, nullptr, 0, false, 0, 0};
    const Epilogue<Scalar>& epilogue = m.epilogue ? *m.epilogue : none;
    // By way of a few vectors in the first-level cache, so that there is one code which finishes them.
    constexpr int64_t at_once = 16 * Isa::lanes;
    Scalar some[at_once];
    for (int64_t r = 0; r < m.rows; ++r) {
        const bool streams =
            m.passes_caches && reinterpret_cast<uintptr_t>(m.to + r * m.to_stride) % sizeof(typename Isa::Vector) == 0;
        for (int64_t done = 0; done < m.cols; done += at_once) {
            const int64_t cols = m.cols - done < at_once ? m.cols - done : at_once;
            const ptrdiff_t from_col = r * m.from_stride + done / m.count, at = r * m.to_stride + done;
            const Scalar* from = some;
            switch (m.count) {
                case 1: from = m.from[0] + from_col; break;
                case 2: take_turns<Isa, 2>(m, from_col, cols, some); break;
                case 4: take_turns<Isa, 4>(m, from_col, cols, some); break;
                case 8: take_turns<Isa, 8>(m, from_col, cols, some); break;
                default:
                    for (int64_t i = 0, k = done % m.count, c = from_col; i < cols; ++i) {
                        some[i] = m.from[k][c];
                        if (++k < m.count) continue;
                        k = 0;
                        ++c;
                    }
            }
            finish_part<Isa>(from, cols, m.to + at, epilogue, epilogue.residual ? epilogue.residual + at : nullptr,
                             streams);
        }
    }
    bend_stored<Isa>(m.epilogue, m.to, m.to_stride, m.rows, m.cols);
}

}  // namespace
}  // namespace flatconv

#endif
