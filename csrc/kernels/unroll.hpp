// Loops that are unrolled in the source, for the kernels' arrays of registers.
#ifndef FLATCONV_KERNELS_UNROLL_HPP
#define FLATCONV_KERNELS_UNROLL_HPP

#define FLATCONV_INLINE inline __attribute__((always_inline))

namespace flatconv {
namespace {

template <int N>
struct Constant {
    static constexpr int value = N;
};

/// body(Constant<0>{}), …, body(Constant<N - 1>{}): unrolled in the source, so that arrays which are indexed by the
/// constants live in registers at every optimisation level and under every compiler.
template <int N, typename Body>
FLATCONV_INLINE void unroll(const Body& body) {
    if constexpr (N > 0) {
        unroll<N - 1>(body);
        body(Constant<N - 1>{});
    }
}

template <int... I>
struct Sequence {};
template <int N, int... I>
struct MakeSequence : MakeSequence<N - 1, N - 1, I...> {};
template <int... I>
struct MakeSequence<0, I...> {
    using type = Sequence<I...>;
};

}  // namespace
}  // namespace flatconv

#endif
