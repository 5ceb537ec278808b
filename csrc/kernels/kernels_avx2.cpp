// The kernels for AVX2 with FMA; called through avx2_kernel_set on CPUs that have both.
#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace flatconv {
namespace {

// A window on this table that starts at element `width - n` has the sign bit set in the first n lanes.
alignas(32) constexpr int32_t float_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(32) constexpr int64_t double_masks[8] = {-1, -1, -1, -1};

// Up to 12 accumulators, 2 vectors of the right operand and a broadcast number: 15 of 16 registers.
struct Avx2Float {
    using Scalar = float;
    using Vector = __m256;
    static constexpr int lanes = 8, tile_rows = 6, tile_vectors = 2, chains = 12;
    static constexpr int panel_vectors = 2, panel_rows[] = {12, 6}, direct_vectors = 2;

    static FLATCONV_INLINE Vector zero() { return _mm256_setzero_ps(); }
    static FLATCONV_INLINE Vector broadcast(const float* p) { return _mm256_broadcast_ss(p); }
    static FLATCONV_INLINE Vector load(const float* p) { return _mm256_loadu_ps(p); }
    static FLATCONV_INLINE void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        const __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
        return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    static FLATCONV_INLINE __m256i first(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(float_masks + lanes - n));
    }
    static FLATCONV_INLINE Vector load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
    static FLATCONV_INLINE void store_first(float* p, Vector v, int n) { _mm256_maskstore_ps(p, first(n), v); }
};

struct Avx2Double {
    using Scalar = double;
    using Vector = __m256d;
    static constexpr int lanes = 4, tile_rows = 6, tile_vectors = 2, chains = 12;
    static constexpr int panel_vectors = 2, panel_rows[] = {12, 6}, direct_vectors = 2;

    static FLATCONV_INLINE Vector zero() { return _mm256_setzero_pd(); }
    static FLATCONV_INLINE Vector broadcast(const double* p) { return _mm256_broadcast_sd(p); }
    static FLATCONV_INLINE Vector load(const double* p) { return _mm256_loadu_pd(p); }
    static FLATCONV_INLINE void store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return _mm256_div_pd(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ));
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const __m256i exponent = _mm256_slli_epi64(_mm256_castpd_si256(n), 52);
        return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    }
    static FLATCONV_INLINE __m256i first(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(double_masks + lanes - n));
    }
    static FLATCONV_INLINE Vector load_first(const double* p, int n) { return _mm256_maskload_pd(p, first(n)); }
    static FLATCONV_INLINE void store_first(double* p, Vector v, int n) { _mm256_maskstore_pd(p, first(n), v); }
};

}  // namespace

extern const KernelSet avx2_kernel_set;
const KernelSet avx2_kernel_set = {"avx2", cpu_avx2_fma, make_kernels<Avx2Float>(), make_kernels<Avx2Double>()};

}  // namespace flatconv
