// The kernels for AArch64, whose every CPU has NEON; called through neon_kernel_set.
#include <arm_neon.h>

#include "kernels/kernels.hpp"

namespace flatconv {
namespace {

// 7 × 3 accumulators, 3 vectors of regions and the weights in flight: with an eighth row, compilers run out of
// registers.
struct NeonFloat {
    using Scalar = float;
    using Vector = float32x4_t;
    static constexpr int lanes = 4, tile_rows = 7, tile_vectors = 3, chains = 24;
    static constexpr int panel_vectors = 2, panel_rows[] = {14, 10}, direct_vectors = 4, channelwise_pixels = 8;
    static constexpr int image_vectors = 4, registers = 32, block_lanes = lanes;

    static FLATCONV_INLINE Vector zero() { return vdupq_n_f32(0); }
    static FLATCONV_INLINE Vector broadcast(const float* p) { return vld1q_dup_f32(p); }
    static FLATCONV_INLINE Vector load(const float* p) { return vld1q_f32(p); }
    static FLATCONV_INLINE void store(float* p, Vector v) { vst1q_f32(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return vsubq_f32(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return vmulq_f32(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return vdivq_f32(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return vbslq_f32(vcltq_f32(a, b), x, y);
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const uint32x4_t exponent = vshlq_n_u32(vreinterpretq_u32_f32(n), 23);
        return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) { return vzip1q_f32(a, b); }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) { return vzip2q_f32(a, b); }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) { return vuzp1q_f32(a, b); }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) { return vuzp2q_f32(a, b); }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        return vextq_f32(a, b, N);
    }
    static FLATCONV_INLINE Vector load_first(const float* p, int n) {
        float lane[lanes] = {};
        for (int l = 0; l < n; ++l) lane[l] = p[l];
        return load(lane);
    }
    static FLATCONV_INLINE void store_first(float* p, Vector v, int n) {
        float lane[lanes];
        store(lane, v);
        for (int l = 0; l < n; ++l) p[l] = lane[l];
    }

    using Lanes = LaneRange;
    static constexpr bool masks_loads = false, picks = false;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return {begin, end}; }

    static constexpr bool masks_halves = false;
    static FLATCONV_INLINE uint16x4_t load_halves(const void* p) {
        return vreinterpret_u16_u8(vld1_u8(static_cast<const uint8_t*>(p)));
    }
    static FLATCONV_INLINE void store_halves(void* p, uint16x4_t v) {
        vst1_u8(static_cast<uint8_t*>(p), vreinterpret_u8_u16(v));
    }
    static FLATCONV_INLINE Vector widen(Float16, const void* p) {
        return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(p)));
    }
    static FLATCONV_INLINE void narrow(Float16, Vector v, void* p) {
        store_halves(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
    }
    static FLATCONV_INLINE Vector widen(BFloat16, const void* p) {
        return vreinterpretq_f32_u32(vshll_n_u16(load_halves(p), 16));
    }
    static FLATCONV_INLINE void narrow(BFloat16, Vector v, void* p) {
        const uint32x4_t bits = vreinterpretq_u32_f32(v), upper = vshrq_n_u32(bits, 16);
        const uint32x4_t tie = vandq_u32(upper, vdupq_n_u32(1));
        const uint32x4_t sum = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), tie);
        const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
        store_halves(p, vmovn_u32(vbslq_u32(vceqq_f32(v, v), vshrq_n_u32(sum, 16), quiet)));
    }
};

struct NeonDouble {
    using Scalar = double;
    using Vector = float64x2_t;
    static constexpr int lanes = 2, tile_rows = 7, tile_vectors = 3, chains = 24;
    static constexpr int panel_vectors = 2, panel_rows[] = {14, 10}, direct_vectors = 4, channelwise_pixels = 8;
    static constexpr int image_vectors = 4, registers = 32, block_lanes = lanes;

    static FLATCONV_INLINE Vector zero() { return vdupq_n_f64(0); }
    static FLATCONV_INLINE Vector broadcast(const double* p) { return vld1q_dup_f64(p); }
    static FLATCONV_INLINE Vector load(const double* p) { return vld1q_f64(p); }
    static FLATCONV_INLINE void store(double* p, Vector v) { vst1q_f64(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return vaddq_f64(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f64(c, a, b); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return vsubq_f64(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return vmulq_f64(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return vdivq_f64(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return vbslq_f64(vcltq_f64(a, b), x, y);
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const uint64x2_t exponent = vshlq_n_u64(vreinterpretq_u64_f64(n), 52);
        return vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) { return vzip1q_f64(a, b); }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) { return vzip2q_f64(a, b); }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) { return vuzp1q_f64(a, b); }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) { return vuzp2q_f64(a, b); }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        return vextq_f64(a, b, N);
    }
    static FLATCONV_INLINE Vector load_first(const double* p, int) { return vld1q_lane_f64(p, zero(), 0); }
    static FLATCONV_INLINE void store_first(double* p, Vector v, int) { vst1q_lane_f64(p, v, 0); }

    using Lanes = LaneRange;
    static constexpr bool masks_loads = false, picks = false;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return {begin, end}; }
};

// Two numbers of 16 bits in a word.
struct NeonPairs {
    using Scalar = uint32_t;
    using Vector = uint32x4_t;
    static constexpr int lanes = 4, tile_rows = 7, tile_vectors = 3;
    static constexpr int panel_vectors = 2, panel_rows[] = {14, 10}, group = 2;

    static FLATCONV_INLINE Vector zero() { return vdupq_n_u32(0); }
    static FLATCONV_INLINE Vector broadcast(const uint32_t* p) { return vld1q_dup_u32(p); }
    static FLATCONV_INLINE Vector load(const uint32_t* p) { return vld1q_u32(p); }
    static FLATCONV_INLINE void store(uint32_t* p, Vector v) { vst1q_u32(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return vaddq_u32(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) {
        const int16x8_t left = vreinterpretq_s16_u32(a), right = vreinterpretq_s16_u32(b);
        const int32x4_t low = vmull_s16(vget_low_s16(left), vget_low_s16(right));
        return add(c, vreinterpretq_u32_s32(vpaddq_s32(low, vmull_high_s16(left, right))));
    }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return vmaxq_u32(a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return vminq_u32(a, b); }
    static FLATCONV_INLINE Vector load_first(const uint32_t* p, int n) {
        uint32_t lane[lanes] = {};
        for (int l = 0; l < n; ++l) lane[l] = p[l];
        return load(lane);
    }
    static FLATCONV_INLINE void store_first(uint32_t* p, Vector v, int n) {
        uint32_t lane[lanes];
        store(lane, v);
        for (int l = 0; l < n; ++l) p[l] = lane[l];
    }
};

}  // namespace

extern const KernelSet neon_kernel_set;
const KernelSet neon_kernel_set = {"neon",
                                   cpu_baseline,
                                   make_kernels<NeonFloat>(),
                                   make_kernels<NeonDouble>(),
                                   make_byte_kernels<NeonPairs>(),
                                   make_half_kernels<NeonFloat, Float16>(),
                                   make_half_kernels<NeonFloat, BFloat16>()};

}  // namespace flatconv
