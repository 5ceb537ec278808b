// The kernels for AVX-512; called through avx512_kernel_set on CPUs that have F, VL, BW and DQ, and
// through avx512_vnni_kernel_set, which differs in integers alone, on those that have VNNI too; and through
// avx512_bf16_kernel_set, which differs from that in bfloat16 alone, on those that have BF16 as well.
#include <immintrin.h>

#include "kernels/byte_image_kernel.hpp"
#include "kernels/kernels.hpp"
#include "kernels/pair_kernels.hpp"

namespace flatconv {
namespace {

// Asks for bfloat16 that the CPU's own instruction rounds.
enum RoundedBFloat16 : uint16_t {};

// Up to 28 accumulators, 2 vectors of the right operand and a broadcast number: 31 of 32 registers.
struct Avx512Float {
    using Scalar = float;
    using Vector = __m512;
    static constexpr int lanes = 16, tile_rows = 14, tile_vectors = 2, chains = 16;
    static constexpr int panel_vectors = 2, panel_rows[] = {14, 14}, direct_vectors = 4, channelwise_pixels = 8;
    static constexpr int image_vectors = 4, registers = 32, block_lanes = 4;

    static FLATCONV_INLINE Vector zero() { return _mm512_setzero_ps(); }
    static FLATCONV_INLINE Vector broadcast(const float* p) { return _mm512_set1_ps(*p); }
    static FLATCONV_INLINE Vector load(const float* p) { return _mm512_loadu_ps(p); }
    static FLATCONV_INLINE void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
    static FLATCONV_INLINE void stream(float* p, Vector v) { _mm512_stream_ps(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
    // By way of a mask: GCC 12 takes the plain intrinsics' undefined operand for a mistake.
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return _mm512_div_ps(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const __m512i exponent = _mm512_maskz_slli_epi32(0xFFFF, _mm512_castps_si512(n), 23);
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        return _mm512_permutex2var_ps(a, order, b);
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        return _mm512_permutex2var_ps(a, order, b);
    }
    static FLATCONV_INLINE Vector zip_low_in_blocks(Vector a, Vector b) {
        return _mm512_maskz_unpacklo_ps(0xFFFF, a, b);
    }
    static FLATCONV_INLINE Vector zip_high_in_blocks(Vector a, Vector b) {
        return _mm512_maskz_unpackhi_ps(0xFFFF, a, b);
    }
    static FLATCONV_INLINE Vector even_blocks(Vector a, Vector b) {
        return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0x88);
    }
    static FLATCONV_INLINE Vector odd_blocks(Vector a, Vector b) {
        return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0xDD);
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        return _mm512_permutex2var_ps(a, order, b);
    }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        return _mm512_permutex2var_ps(a, order, b);
    }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        const __m512i low = _mm512_castps_si512(a), high = _mm512_castps_si512(b);
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0xFFFF, high, low, N));
    }
    static FLATCONV_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
    static FLATCONV_INLINE Vector load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
    static FLATCONV_INLINE void store_first(float* p, Vector v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }

    using Lanes = __mmask16;
    static constexpr bool masks_loads = true;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return Lanes(first(end) & ~first(begin)); }
    static FLATCONV_INLINE Vector load_masked(const float* p, Lanes some) { return _mm512_maskz_loadu_ps(some, p); }

    using Places = __m512i;
    static constexpr bool picks = true;
    static FLATCONV_INLINE Places load_places(const int32_t* p) { return _mm512_loadu_si512(p); }
    static FLATCONV_INLINE Vector pick(Vector v, Places places) {
        return _mm512_maskz_permutexvar_ps(0xFFFF, places, v);
    }
    template <int N>
    static FLATCONV_INLINE Vector shift_halves(Vector v) {
        if constexpr (N == 0) return v;
        constexpr unsigned half = N < 0 ? 0xFF & (0xFF << -N) : 0xFF >> N;
        const __m512i bits = _mm512_castps_si512(v);
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(__mmask16(half | half << 8), bits, bits, N & 15));
    }

    static constexpr bool masks_halves = true;
    static FLATCONV_INLINE Vector widened(Float16, __m256i halves) { return _mm512_maskz_cvtph_ps(0xFFFF, halves); }
    static FLATCONV_INLINE __m256i narrowed(Float16, Vector v) {
        return _mm512_maskz_cvtps_ph(0xFFFF, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static FLATCONV_INLINE Vector widened(BFloat16, __m256i halves) {
        const __m512i words = _mm512_maskz_cvtepu16_epi32(0xFFFF, halves);
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, words, 16));
    }
    static FLATCONV_INLINE __m256i narrowed(BFloat16, Vector v) {
        const __m512i bits = _mm512_castps_si512(v), upper = _mm512_maskz_srli_epi32(0xFFFF, bits, 16);
        const __m512i tie = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), tie);
        const __mmask16 no_number = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        const __m512i rounded = _mm512_maskz_srli_epi32(0xFFFF, sum, 16);
        const __m512i quiet = _mm512_mask_or_epi32(rounded, no_number, upper, _mm512_set1_epi32(0x40));
        return _mm512_maskz_cvtepi32_epi16(0xFFFF, quiet);
    }
    static FLATCONV_INLINE __m256i narrowed(RoundedBFloat16, Vector v) {
        // To the instruction they are zeros.
        constexpr int subnormal = 0x20;
        if (__builtin_expect(_mm512_fpclass_ps_mask(v, subnormal), 0)) return narrowed(BFloat16{}, v);
        __m256i halves;
        asm("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(v));
        return halves;
    }
    template <typename Half>
    static FLATCONV_INLINE Vector widen(Half half, const void* p) {
        return widened(half, _mm256_loadu_si256(static_cast<const __m256i*>(p)));
    }
    template <typename Half>
    static FLATCONV_INLINE void narrow(Half half, Vector v, void* p) {
        _mm256_storeu_si256(static_cast<__m256i*>(p), narrowed(half, v));
    }
    template <typename Half>
    static FLATCONV_INLINE Vector widen_masked(Half half, const void* p, Lanes some) {
        return widened(half, _mm256_maskz_loadu_epi16(some, p));
    }
    template <typename Half>
    static FLATCONV_INLINE Vector widen_first(Half half, const void* p, int n) {
        return widen_masked(half, p, first(n));
    }
    static FLATCONV_INLINE __m512i words(const void* p, int n) {
        // Without the last one's second half, which need not exist.
        return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << (2 * n - 1)) - 1), p);
    }
    static FLATCONV_INLINE Vector widen_even(BFloat16, const void* p, int n) {
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, words(p, n), 16));
    }
    static FLATCONV_INLINE Vector widen_even(Float16 half, const void* p, int n) {
        return widened(half, _mm512_maskz_cvtepi32_epi16(0xFFFF, words(p, n)));
    }
    template <typename Half>
    static FLATCONV_INLINE void narrow_first(Half half, Vector v, void* p, int n) {
        _mm256_mask_storeu_epi16(p, first(n), narrowed(half, v));
    }
};

struct Avx512Double {
    using Scalar = double;
    using Vector = __m512d;
    static constexpr int lanes = 8, tile_rows = 14, tile_vectors = 2, chains = 16;
    static constexpr int panel_vectors = 2, panel_rows[] = {14, 14}, direct_vectors = 4, channelwise_pixels = 8;
    static constexpr int image_vectors = 4, registers = 32, block_lanes = 2;

    static FLATCONV_INLINE Vector zero() { return _mm512_setzero_pd(); }
    static FLATCONV_INLINE Vector broadcast(const double* p) { return _mm512_set1_pd(*p); }
    static FLATCONV_INLINE Vector load(const double* p) { return _mm512_loadu_pd(p); }
    static FLATCONV_INLINE void store(double* p, Vector v) { _mm512_storeu_pd(p, v); }
    static FLATCONV_INLINE void stream(double* p, Vector v) { _mm512_stream_pd(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm512_maskz_max_pd(0xFF, a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm512_maskz_min_pd(0xFF, a, b); }
    static FLATCONV_INLINE Vector sub(Vector a, Vector b) { return _mm512_sub_pd(a, b); }
    static FLATCONV_INLINE Vector mul(Vector a, Vector b) { return _mm512_mul_pd(a, b); }
    static FLATCONV_INLINE Vector div(Vector a, Vector b) { return _mm512_div_pd(a, b); }
    static FLATCONV_INLINE Vector select_less(Vector a, Vector b, Vector x, Vector y) {
        return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
    }
    static FLATCONV_INLINE Vector raise(Vector a, Vector n) {
        const __m512i exponent = _mm512_maskz_slli_epi64(0xFF, _mm512_castpd_si512(n), 52);
        return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), exponent));
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        return _mm512_permutex2var_pd(a, order, b);
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        return _mm512_permutex2var_pd(a, order, b);
    }
    static FLATCONV_INLINE Vector zip_low_in_blocks(Vector a, Vector b) { return _mm512_maskz_unpacklo_pd(0xFF, a, b); }
    static FLATCONV_INLINE Vector zip_high_in_blocks(Vector a, Vector b) {
        return _mm512_maskz_unpackhi_pd(0xFF, a, b);
    }
    static FLATCONV_INLINE Vector even_blocks(Vector a, Vector b) {
        return _mm512_maskz_shuffle_f64x2(0xFF, a, b, 0x88);
    }
    static FLATCONV_INLINE Vector odd_blocks(Vector a, Vector b) {
        return _mm512_maskz_shuffle_f64x2(0xFF, a, b, 0xDD);
    }
    static FLATCONV_INLINE Vector even(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        return _mm512_permutex2var_pd(a, order, b);
    }
    static FLATCONV_INLINE Vector odd(Vector a, Vector b) {
        const __m512i order = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
        return _mm512_permutex2var_pd(a, order, b);
    }
    template <int N>
    static FLATCONV_INLINE Vector align(Vector a, Vector b) {
        const __m512i low = _mm512_castpd_si512(a), high = _mm512_castpd_si512(b);
        return _mm512_castsi512_pd(_mm512_maskz_alignr_epi64(0xFF, high, low, N));
    }
    static FLATCONV_INLINE __mmask8 first(int n) { return static_cast<__mmask8>((1u << n) - 1); }
    static FLATCONV_INLINE Vector load_first(const double* p, int n) { return _mm512_maskz_loadu_pd(first(n), p); }
    static FLATCONV_INLINE void store_first(double* p, Vector v, int n) { _mm512_mask_storeu_pd(p, first(n), v); }

    using Lanes = __mmask8;
    static constexpr bool masks_loads = true;
    static FLATCONV_INLINE Lanes between(int begin, int end) { return Lanes(first(end) & ~first(begin)); }
    static FLATCONV_INLINE Vector load_masked(const double* p, Lanes some) { return _mm512_maskz_loadu_pd(some, p); }
    static constexpr bool picks = false;
};

// Two numbers of 16 bits in a word. Their products take a register before they are added, so there is a row less.
struct Avx512Pairs {
    using Scalar = uint32_t;
    using Vector = __m512i;
    static constexpr int lanes = 16, tile_rows = 13, tile_vectors = 2;
    static constexpr int panel_vectors = 2, panel_rows[] = {13, 13}, group = 2;

    static FLATCONV_INLINE Vector zero() { return _mm512_setzero_si512(); }
    static FLATCONV_INLINE Vector broadcast(const uint32_t* p) { return _mm512_set1_epi32(int(*p)); }
    static FLATCONV_INLINE Vector load(const uint32_t* p) { return _mm512_loadu_si512(p); }
    static FLATCONV_INLINE void store(uint32_t* p, Vector v) { _mm512_storeu_si512(p, v); }
    static FLATCONV_INLINE Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) { return add(c, _mm512_madd_epi16(a, b)); }
    static FLATCONV_INLINE Vector max(Vector a, Vector b) { return _mm512_maskz_max_epi32(0xFFFF, a, b); }
    static FLATCONV_INLINE Vector min(Vector a, Vector b) { return _mm512_maskz_min_epi32(0xFFFF, a, b); }
    static FLATCONV_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
    static FLATCONV_INLINE Vector load_first(const uint32_t* p, int n) { return _mm512_maskz_loadu_epi32(first(n), p); }
    static FLATCONV_INLINE void store_first(uint32_t* p, Vector v, int n) { _mm512_mask_storeu_epi32(p, first(n), v); }
};

// Four bytes in a word.
struct Avx512Quads : Avx512Pairs {
    static constexpr int group = 4;

    // In assembler: compiled for CPUs that have this instruction, the other kernels here might use its like as well.
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) {
        asm("vpdpbusd %1, %2, %0" : "+v"(c) : "v"(a), "v"(b));
        return c;
    }

    using Bytes = __mmask64;
    static FLATCONV_INLINE Bytes first_bytes(int64_t n) {
        return n >= 64 ? ~Bytes(0) : n <= 0 ? 0 : (Bytes(1) << n) - 1;
    }
    static FLATCONV_INLINE Bytes bytes_between(int64_t begin, int64_t end) {
        return first_bytes(end) & ~first_bytes(begin);
    }
    static FLATCONV_INLINE Vector fill(uint8_t byte) { return _mm512_set1_epi8(char(byte)); }
    static FLATCONV_INLINE Vector load_bytes(const uint8_t* p, Bytes some, Vector others) {
        return _mm512_mask_loadu_epi8(others, some, p);
    }
    static FLATCONV_INLINE Vector flipped(Vector v, Vector flip) { return _mm512_xor_si512(v, flip); }
    static FLATCONV_INLINE Vector near_words(Vector bytes, Vector places) {
        return _mm512_maskz_permutexvar_epi32(0xFFFF, places, bytes);
    }
    static FLATCONV_INLINE Vector near_bytes(Vector bytes, Vector places) {
        return _mm512_maskz_shuffle_epi8(~Bytes(0), bytes, places);
    }
    static FLATCONV_INLINE Vector scaled(Vector sum, const SumFinish& finish) {
        const __m512 low = _mm512_set1_ps(finish.low), high = _mm512_set1_ps(finish.high);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, sum), _mm512_set1_ps(*finish.scales));
        return _mm512_maskz_cvtps_epi32(0xFFFF, Avx512Float::min(high, Avx512Float::max(low, scaled)));
    }
    template <int N>
    static FLATCONV_INLINE Vector raised(Vector v) {
        return _mm512_maskz_slli_epi32(0xFFFF, v, 8 * N);
    }
    static FLATCONV_INLINE void store_lower_bytes(uint8_t* p, Vector v, int n, Constant<1>) {
        _mm_mask_storeu_epi8(p, first(n), _mm512_maskz_cvtepi32_epi8(0xFFFF, v));
    }
    static FLATCONV_INLINE void store_lower_bytes(uint8_t* p, Vector v, int n, Constant<4>) {
        _mm512_mask_storeu_epi8(p, first_bytes(n), v);
    }
    static FLATCONV_INLINE Vector zip_low(Vector a, Vector b) {
        return _mm512_castps_si512(Avx512Float::zip_low(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
    }
    static FLATCONV_INLINE Vector zip_high(Vector a, Vector b) {
        return _mm512_castps_si512(Avx512Float::zip_high(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
    }
};

constexpr ByteKernels make_quad_kernels() {
    ByteKernels kernels = make_byte_kernels<Avx512Quads>();
    kernels.convolve_image = convolve_bytes<Avx512Quads>;
    return kernels;
}

// Two numbers of bfloat16 in a word that is called a float.
struct Avx512HalfPairs : Avx512Float {
    using Sums = Avx512Float;  // a multiply-add of which is one of numbers

    using Halves = __m256i;
    static FLATCONV_INLINE Halves no_halves() { return _mm256_setzero_si256(); }
    static FLATCONV_INLINE Halves load_halves(const void* p) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(p));
    }
    static FLATCONV_INLINE Halves load_halves_first(const void* p, int n) {
        return _mm256_maskz_loadu_epi16(first(n), p);
    }
    static FLATCONV_INLINE void store_halves(void* p, Halves halves) {
        _mm256_storeu_si256(static_cast<__m256i*>(p), halves);
    }
    static FLATCONV_INLINE void store_halves_first(void* p, Halves halves, int n) {
        _mm256_mask_storeu_epi16(p, first(n), halves);
    }
    static FLATCONV_INLINE Halves even_halves(const void* p, int n) {
        return _mm512_maskz_cvtepi32_epi16(0xFFFF, words(p, n));
    }
    static FLATCONV_INLINE Vector join(Halves upper, Halves lower) {
        const __m512i order = _mm512_set_epi16(15, 47, 14, 46, 13, 45, 12, 44, 11, 43, 10, 42, 9, 41, 8, 40, 7, 39, 6,
                                               38, 5, 37, 4, 36, 3, 35, 2, 34, 1, 33, 0, 32);
        return _mm512_castsi512_ps(
            _mm512_permutex2var_epi16(_mm512_castsi256_si512(upper), order, _mm512_castsi256_si512(lower)));
    }
    static FLATCONV_INLINE Vector join_even(const void* upper, const void* lower, int n) {
        const __m512i raised = _mm512_maskz_slli_epi32(0xFFFF, words(upper, n), 16);
        return _mm512_castsi512_ps(_mm512_mask_blend_epi16(0x55555555, raised, words(lower, n)));
    }
    static FLATCONV_INLINE Vector swapped(Vector v) {
        return _mm512_castsi512_ps(_mm512_maskz_rol_epi32(0xFFFF, _mm512_castps_si512(v), 16));
    }
    using Ranks = __m512i;
    static FLATCONV_INLINE Ranks ranks_from(uint16_t rank) { return _mm512_set1_epi16(short(rank)); }
    static FLATCONV_INLINE Ranks lesser(Ranks ranks, Vector v) {
        const __m512i magnitudes = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi16(0x7FFF));
        const __m512i found = _mm512_sub_epi16(magnitudes, _mm512_set1_epi16(1));
        return _mm512_maskz_min_epu16(~__mmask32(0), ranks, found);
    }
    static FLATCONV_INLINE void store_ranks(uint16_t* p, Ranks ranks) { _mm512_storeu_si512(p, ranks); }
    static FLATCONV_INLINE Vector fma(Vector a, Vector b, Vector c) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
        return c;
    }
};

}  // namespace

extern const KernelSet avx512_kernel_set;
const KernelSet avx512_kernel_set = {"avx512",
                                     cpu_avx2_fma | cpu_avx512,
                                     make_kernels<Avx512Float>(),
                                     make_kernels<Avx512Double>(),
                                     make_byte_kernels<Avx512Pairs>(),
                                     make_half_kernels<Avx512Float, Float16>(),
                                     make_half_kernels<Avx512Float, BFloat16>()};

extern const KernelSet avx512_vnni_kernel_set;
const KernelSet avx512_vnni_kernel_set = {"avx512_vnni",
                                          cpu_avx2_fma | cpu_avx512 | cpu_avx512_vnni,
                                          make_kernels<Avx512Float>(),
                                          make_kernels<Avx512Double>(),
                                          make_quad_kernels(),
                                          make_half_kernels<Avx512Float, Float16>(),
                                          make_half_kernels<Avx512Float, BFloat16>()};

extern const KernelSet avx512_bf16_kernel_set;
const KernelSet avx512_bf16_kernel_set = {"avx512_bf16",
                                          cpu_avx2_fma | cpu_avx512 | cpu_avx512_vnni | cpu_avx512_bf16,
                                          make_kernels<Avx512Float>(),
                                          make_kernels<Avx512Double>(),
                                          make_quad_kernels(),
                                          make_half_kernels<Avx512Float, Float16>(),
                                          make_half_kernels<Avx512Float, BFloat16, RoundedBFloat16>(),
                                          make_pair_kernels<Avx512HalfPairs>(make_kernels<Avx512Float>())};

}  // namespace flatconv
