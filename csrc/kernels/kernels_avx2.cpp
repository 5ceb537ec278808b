// The kernels for AVX2 with FMA and F16C; called through avx2_kernel_set on CPUs that have them.
#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace flatconv {
namespace {

// A window on this table that starts at element `width - n` has the sign bit set in the first n lanes.
alignas(32) constexpr int32_t float_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(32) constexpr int64_t double_masks[8] = {-1, -1, -1, -1};

template <int Bytes>
FLATCONV_INLINE __m256i aligned(__m256i a, __m256i b) {
    const __m256i middle = _mm256_permute2x128_si256(a, b, 0x21);
    if constexpr (Bytes < 16) return _mm256_alignr_epi8(middle, a, Bytes);
    return _mm256_alignr_epi8(b, middle, Bytes % 16);
}

// Up to 12 accumulators, 2 vectors of the right operand and a broadcast number: 15 of 16 registers.
struct Avx2Float {
    using Scalar = float;
    using Vector = __m256;
    static constexpr int lanes = 8, tile_rows = 6, tile_vectors = 2, chains = 12;
    static constexpr int panel_vectors = 2, panel_rows[] = {12, 6}, direct_vectors = 2, channelwise_pixels = 8;
    static constexpr int image_vectors = 2, registers = 16, block_lanes = 4;

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
    static FLATCONV_INLINE Vector zip_low_in_blocks(Vector a, Vector b) { return _mm256_unpacklo_ps(a, b); }
    static FLATCONV_INLINE Vector zip_high_in_blocks(Vector a, Vector b) { return _mm256_unpackhi_ps(a, b); }
    static FLATCONV_INLINE Vector even_blocks(Vector a, Vector b) { return _mm256_permute2f128_ps(a, b, 0x20); }
    static FLATCONV_INLINE Vector odd_blocks(Vector a, Vector b) { return _mm256_permute2f128_ps(a, b, 0x31); }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return even_blocks(zip_low_in_blocks(a, b), zip_high_in_blocks(a, b));
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return odd_blocks(zip_low_in_blocks(a, b), zip_high_in_blocks(a, b));
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        const __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
        return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) {
        const __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
        return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        return _mm256_castsi256_ps(aligned<N* int(sizeof(float))>(_mm256_castps_si256(a), _mm256_castps_si256(b)));
    }
    static FLATCONV_INLINE __m256i first(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(float_masks + lanes - n));
    }
    static FLATCONV_INLINE Vector load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
    static FLATCONV_INLINE void store_first(float* p, Vector v, int n) { _mm256_maskstore_ps(p, first(n), v); }

    using Lanes = __m256i;
    static constexpr bool masks_loads = true;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return _mm256_andnot_si256(first(begin), first(end)); }
    static FLATCONV_INLINE Vector load_masked(const float* p, Lanes some) { return _mm256_maskload_ps(p, some); }

    using Places = __m256i;
    static constexpr bool picks = true;
    static FLATCONV_INLINE Places load_places(const int32_t* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static FLATCONV_INLINE Vector pick(Vector v, Places places) { return _mm256_permutevar8x32_ps(v, places); }

    static constexpr bool masks_halves = false;
    static FLATCONV_INLINE __m128i load_halves(const void* p) {
        return _mm_loadu_si128(static_cast<const __m128i*>(p));
    }
    static FLATCONV_INLINE void store_halves(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
    static FLATCONV_INLINE Vector widen(Float16, const void* p) { return _mm256_cvtph_ps(load_halves(p)); }
    static FLATCONV_INLINE void narrow(Float16, Vector v, void* p) {
        store_halves(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static FLATCONV_INLINE Vector widen(BFloat16, const void* p) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p)), 16));
    }
    static FLATCONV_INLINE void narrow(BFloat16, Vector v, void* p) {
        const __m256i bits = _mm256_castps_si256(v);
        const __m256i upper = _mm256_srli_epi32(bits, 16);
        const __m256i tie = _mm256_and_si256(upper, _mm256_set1_epi32(1));
        const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), tie);
        const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
        const __m256i no_number = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        const __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, no_number);
        const __m256i packed = _mm256_packus_epi32(rounded, rounded);
        store_halves(p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0))));
    }
};

struct Avx2Double {
    using Scalar = double;
    using Vector = __m256d;
    static constexpr int lanes = 4, tile_rows = 6, tile_vectors = 2, chains = 12;
    static constexpr int panel_vectors = 2, panel_rows[] = {12, 6}, direct_vectors = 2, channelwise_pixels = 8;
    static constexpr int image_vectors = 2, registers = 16, block_lanes = 2;

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
    static FLATCONV_INLINE Vector zip_low_in_blocks(Vector a, Vector b) { return _mm256_unpacklo_pd(a, b); }
    static FLATCONV_INLINE Vector zip_high_in_blocks(Vector a, Vector b) { return _mm256_unpackhi_pd(a, b); }
    static FLATCONV_INLINE Vector even_blocks(Vector a, Vector b) { return _mm256_permute2f128_pd(a, b, 0x20); }
    static FLATCONV_INLINE Vector odd_blocks(Vector a, Vector b) { return _mm256_permute2f128_pd(a, b, 0x31); }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return even_blocks(zip_low_in_blocks(a, b), zip_high_in_blocks(a, b));
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return odd_blocks(zip_low_in_blocks(a, b), zip_high_in_blocks(a, b));
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) {
        return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        return _mm256_castsi256_pd(aligned<N* int(sizeof(double))>(_mm256_castpd_si256(a), _mm256_castpd_si256(b)));
    }
    static FLATCONV_INLINE __m256i first(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(double_masks + lanes - n));
    }
    static FLATCONV_INLINE Vector load_first(const double* p, int n) { return _mm256_maskload_pd(p, first(n)); }
    static FLATCONV_INLINE void store_first(double* p, Vector v, int n) { _mm256_maskstore_pd(p, first(n), v); }

    using Lanes = __m256i;
    static constexpr bool masks_loads = true;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return _mm256_andnot_si256(first(begin), first(end)); }
    static FLATCONV_INLINE Vector load_masked(const double* p, Lanes some) { return _mm256_maskload_pd(p, some); }
    static constexpr bool picks = false;
};

// Two numbers of 16 bits in a word. Their products take a register before they are added, so there is a row less.
struct Avx2Pairs {
    using Scalar = uint32_t;
    using Vector = __m256i;
    static constexpr int lanes = 8, tile_rows = 5, tile_vectors = 2;
    static constexpr int panel_vectors = 2, panel_rows[] = {10, 5}, group = 2;

    static FLATCONV_INLINE Vector zero() { return _mm256_setzero_si256(); }
    static FLATCONV_INLINE Vector broadcast(const uint32_t* p) { return _mm256_set1_epi32(int(*p)); }
    static FLATCONV_INLINE Vector load(const uint32_t* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static FLATCONV_INLINE void store(uint32_t* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return add(c, _mm256_madd_epi16(a, b)); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm256_max_epi32(a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm256_min_epi32(a, b); }
    static FLATCONV_INLINE Vector load_first(const uint32_t* p, int n) {
        return _mm256_maskload_epi32(reinterpret_cast<const int*>(p), Avx2Float::first(n));
    }
    static FLATCONV_INLINE void store_first(uint32_t* p, Vector v, int n) {
        _mm256_maskstore_epi32(reinterpret_cast<int*>(p), Avx2Float::first(n), v);
    }
};

}  // namespace

extern const KernelSet avx2_kernel_set;
const KernelSet avx2_kernel_set = {"avx2",
                                   cpu_avx2_fma | cpu_f16c,
                                   make_kernels<Avx2Float>(),
                                   make_kernels<Avx2Double>(),
                                   make_byte_kernels<Avx2Pairs>(),
                                   make_half_kernels<Avx2Float, Float16>(),
                                   make_half_kernels<Avx2Float, BFloat16>()};

}  // namespace flatconv
