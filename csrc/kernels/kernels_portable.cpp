// The kernels for any CPU, in plain C++; called through portable_kernel_set where nothing better is usable.
//
// The fused multiply-add is the C library's where the CPU has none: slow, and the same bits as everywhere.
#include "kernels/kernels.hpp"

namespace flatconv {
namespace {

FLATCONV_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FLATCONV_INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

// Two numbers of 16 bits in a word.
FLATCONV_INLINE uint32_t fused(uint32_t a, uint32_t b, uint32_t c) {
    const int32_t low = int16_t(a & 0xFFFF) * int16_t(b & 0xFFFF), high = int16_t(a >> 16) * int16_t(b >> 16);
    return c + uint32_t(low) + uint32_t(high);
}

template <typename T>
struct Portable {
    using Scalar = T;
    static constexpr int lanes = 16 / int(sizeof(T)), tile_rows = 4, tile_vectors = 2, chains = 8;
    static constexpr int panel_vectors = 2, panel_rows[panel_vectors] = {6, 4}, direct_vectors = 2,
                         channelwise_pixels = 2, image_vectors = 0, group = 2, block_lanes = lanes;
    static constexpr bool picks = false;
    struct Vector {
        T lane[lanes];
    };

    template <typename Element>
    static FLATCONV_INLINE Vector each(const Element& element) {
        Vector v;
        for (int l = 0; l < lanes; ++l) v.lane[l] = element(l);
        return v;
    }
    static FLATCONV_INLINE Vector zero() { return Vector{}; }
    static FLATCONV_INLINE Vector broadcast(const T* p) {
        return each([&](int) { return *p; });
    }
    static FLATCONV_INLINE Vector load(const T* p) {
        return each([&](int l) { return p[l]; });
    }
    static FLATCONV_INLINE void store(T* p, Vector v) { store_first(p, v, lanes); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] + b.lane[l]; });
    }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) {
        return each([&](int l) { return fused(a.lane[l], b.lane[l], c.lane[l]); });
    }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l]; });
    }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l]; });
    }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] - b.lane[l]; });
    }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] * b.lane[l]; });
    }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) {
        return each([&](int l) { return a.lane[l] / b.lane[l]; });
    }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return each([&](int l) { return a.lane[l] < b.lane[l] ? x.lane[l] : y.lane[l]; });
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        return each([&](int l) { return raised(a.lane[l], n.lane[l]); });
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return each([&](int l) { return (l % 2 ? b : a).lane[l / 2]; });
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return each([&](int l) { return (l % 2 ? b : a).lane[(l + lanes) / 2]; });
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        return each([&](int l) { return l < lanes / 2 ? a.lane[2 * l] : b.lane[2 * l - lanes]; });
    }
    static FLATCONV_INLINE Vector load_first(const T* p, int n) {
        return each([&](int l) { return l < n ? p[l] : T(0); });
    }
    static FLATCONV_INLINE void store_first(T* p, Vector v, int n) {
        for (int l = 0; l < n; ++l) p[l] = v.lane[l];
    }

    static constexpr bool masks_halves = false;
    template <typename Half>
    static FLATCONV_INLINE Vector widen(Half, const void* p) {
        Half halves[lanes];
        __builtin_memcpy(halves, p, sizeof halves);
        return each([&](int l) { return widened(halves[l]); });
    }
    template <typename Half>
    static FLATCONV_INLINE void narrow(Half, Vector v, void* p) {
        Half halves[lanes];
        for (int l = 0; l < lanes; ++l) halves[l] = narrowed<Half>(v.lane[l]);
        __builtin_memcpy(p, halves, sizeof halves);
    }
};

}  // namespace

extern const KernelSet portable_kernel_set;
const KernelSet portable_kernel_set = {"portable",
                                       cpu_baseline,
                                       make_kernels<Portable<float>>(),
                                       make_kernels<Portable<double>>(),
                                       make_byte_kernels<Portable<uint32_t>>(),
                                       make_half_kernels<Portable<float>, Float16>(),
                                       make_half_kernels<Portable<float>, BFloat16>()};

}  // namespace flatconv
