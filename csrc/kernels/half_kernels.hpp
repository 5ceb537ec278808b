// The kernels that read and write numbers of 16 bits for those that compute with float; kernels.hpp brings them into
// every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_HALF_KERNELS_HPP
#define FLATCONV_KERNELS_HALF_KERNELS_HPP

#include "kernels/half.hpp"
#include "kernels/image_kernel.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// `count` numbers that lie `step` bytes apart, at most a vector of them.
template <typename Isa, typename Half>
FLATCONV_INLINE typename Isa::Vector gather_halves(const char* from, ptrdiff_t step, int count) {
    if constexpr (Isa::masks_halves) {
        if (step == sizeof(Half)) return Isa::widen_first(Half{}, from, count);
        if (step == 2 * sizeof(Half)) return Isa::widen_even(Half{}, from, count);
    }
    Half halves[Isa::lanes] = {};
    for (int l = 0; l < count; ++l) __builtin_memcpy(halves + l, from + l * step, sizeof(Half));
    return Isa::widen(Half{}, halves);
}

template <typename Isa, typename Half>
FLATCONV_INLINE void scatter_halves(typename Isa::Vector v, char* to, ptrdiff_t step, int count) {
    if constexpr (Isa::masks_halves) {
        if (step == sizeof(Half)) return Isa::narrow_first(Half{}, v, to, count);
    }
    Half halves[Isa::lanes];
    Isa::narrow(Half{}, v, halves);
    for (int l = 0; l < count; ++l) __builtin_memcpy(to + l * step, halves + l, sizeof(Half));
}

template <typename Isa, typename Half>
void widen(const Widening<float>& w) {
    constexpr int lanes = Isa::lanes;
    constexpr ptrdiff_t bytes = sizeof(Half);
    for (int64_t r = 0; r < w.rows; ++r) {
        const char* from = static_cast<const char*>(w.from) + r * w.from_stride;
        float* to = w.to + r * w.to_stride;
        int64_t c = 0;
        if (w.from_step == bytes) {
            for (; c + lanes <= w.cols; c += lanes) {
                __builtin_prefetch(from + c * bytes + w.next);
                Isa::store(to + c, Isa::widen(Half{}, from + c * bytes));
            }
            // The last vector may overlap the one before.
            if (c < w.cols && w.cols >= lanes) {
                c = w.cols - lanes;
                Isa::store(to + c, Isa::widen(Half{}, from + c * bytes));
                continue;
            }
        } else if (w.from_step == 2 * bytes && !Isa::masks_halves) {
            // The last number of the second vector need not exist.
            for (; c + lanes < w.cols; c += lanes) {
                const char* at = from + 2 * c * bytes;
                Isa::store(to + c, Isa::even(Isa::widen(Half{}, at), Isa::widen(Half{}, at + lanes * bytes)));
            }
        }
        for (; c < w.cols; c += lanes) {
            const int count = int(w.cols - c < lanes ? w.cols - c : lanes);
            const auto v = gather_halves<Isa, Half>(from + c * w.from_step, w.from_step, count);
            if (count == lanes) {
                Isa::store(to + c, v);
            } else {
                Isa::store_first(to + c, v, count);
            }
        }
    }
}

template <typename Isa, typename Half>
void narrow(const Narrowing<float>& n) {
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;
    constexpr ptrdiff_t bytes = sizeof(Half);
    const bool finishes = n.epilogue;
    Epilogue<float> epilogue{};
    if (finishes) epilogue = *n.epilogue;
    for (int64_t r = 0; r < n.rows; ++r) {
        const float* from = n.from + r * n.from_stride;
        char* to = static_cast<char*>(n.to) + r * n.to_stride;
        int64_t c = 0;
        const Vector bias = finishes ? Isa::broadcast(epilogue.bias + r) : Isa::zero();
        const auto finished = [&](Vector v) __attribute__((always_inline)) {
            return finishes ? finish<Isa>(v, bias, nullptr, lanes, epilogue) : v;
        };
        if (n.to_step == bytes) {
            for (; c + lanes <= n.cols; c += lanes) Isa::narrow(Half{}, finished(Isa::load(from + c)), to + c * bytes);
            if (c < n.cols && n.cols >= lanes) {
                c = n.cols - lanes;
                Isa::narrow(Half{}, finished(Isa::load(from + c)), to + c * bytes);
                continue;
            }
        }
        for (; c < n.cols; c += lanes) {
            const int count = int(n.cols - c < lanes ? n.cols - c : lanes);
            const auto v = count == lanes ? Isa::load(from + c) : Isa::load_first(from + c, count);
            scatter_halves<Isa, Half>(finished(v), to + c * n.to_step, n.to_step, count);
        }
    }
}

/// How x and y hold the pixels of images: as halves, which come out rounded, by a way of the CPU's own if `Rounded` is
/// one.
template <typename Isa, typename Half, typename Rounded>
struct AsHalves {
    using Stored = Half;
    using Vector = typename Isa::Vector;
    static FLATCONV_INLINE Vector load(const Stored* p) { return Isa::widen(Half{}, p); }
    static FLATCONV_INLINE Vector load_some(const Stored* p, typename Isa::Lanes some) {
        return Isa::widen_masked(Half{}, p, some);
    }
    static FLATCONV_INLINE void store(Stored* p, Vector v) { Isa::narrow(Rounded{}, v, p); }
    static FLATCONV_INLINE void store_first(Stored* p, Vector v, int n) { Isa::narrow_first(Rounded{}, v, p, n); }
};

/// Kernels::convolve_image of x and y that hold halves, as far as convolves_halves goes, without residual and curve.
template <typename Isa, typename Half, typename Rounded>
void convolve_half_image(const ImageConvolution<typename Isa::Scalar>& image) {
    using Pixels = AsHalves<Isa, Half, Rounded>;
    convolve_strips_if<Isa, Pixels, 3, 1>(image);
    convolve_strips_if<Isa, Pixels, 3, 2>(image);
}

/// Whether images of halves are read where they lie: not worth the code where several instructions round a vector.
template <typename Isa, typename Rounded>
constexpr bool keeps_halves = Isa::masks_halves;
template <typename Isa>
constexpr bool keeps_halves<Isa, BFloat16> = false;

/// `Rounded` may ask for a way of the CPU's own to round to `Half`.
template <typename Isa, typename Half, typename Rounded = Half>
constexpr HalfKernels<float> make_half_kernels() {
    HalfKernels<float> kernels{widen<Isa, Half>, narrow<Isa, Rounded>};
    if constexpr (keeps_halves<Isa, Rounded>) kernels.convolve_image = convolve_half_image<Isa, Half, Rounded>;
    return kernels;
}

}  // namespace
}  // namespace flatconv

#endif
