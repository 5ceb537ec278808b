// CPU features and the choice among the compiled kernel sets.
#include "cpu/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace flatconv {

extern const KernelSet portable_kernel_set;
#ifdef FLATCONV_HAVE_AVX2
extern const KernelSet avx2_kernel_set;
#endif
#ifdef FLATCONV_HAVE_AVX512
extern const KernelSet avx512_kernel_set;
extern const KernelSet avx512_vnni_kernel_set;
extern const KernelSet avx512_bf16_kernel_set;
#endif
#ifdef FLATCONV_HAVE_NEON
extern const KernelSet neon_kernel_set;
#endif

namespace {

constexpr const KernelSet* all_sets[] = {
#ifdef FLATCONV_HAVE_AVX512
    &avx512_bf16_kernel_set, &avx512_vnni_kernel_set, &avx512_kernel_set,
#endif
#ifdef FLATCONV_HAVE_AVX2
    &avx2_kernel_set,
#endif
#ifdef FLATCONV_HAVE_NEON
    &neon_kernel_set,
#endif
    &portable_kernel_set,
};

unsigned detect_features() noexcept {
    unsigned features = cpu_baseline;
#if defined(__x86_64__) || defined(__i386__)
    // The compiler's run-time looks at CPUID and at the register state that the operating system saves.
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= cpu_avx2_fma;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq")) {
        features |= cpu_avx512;
        if (__builtin_cpu_supports("avx512vnni")) features |= cpu_avx512_vnni;
        if (__builtin_cpu_supports("avx512bf16")) features |= cpu_avx512_bf16;
    }
    // Not among the names that every compiler knows. Its registers are AVX2's.
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C)) features |= cpu_f16c;
#endif
    return features;
}

std::atomic<const KernelSet*> chosen{nullptr};

}  // namespace

CompiledSets compiled_kernel_sets() noexcept { return {all_sets, int(sizeof(all_sets) / sizeof(all_sets[0]))}; }

bool usable(const KernelSet& set) noexcept { return (set.features & ~detect_features()) == 0; }

const KernelSet* find_kernel_set(const char* name) noexcept {
    const bool any = std::strcmp(name, "auto") == 0;
    for (const KernelSet* set : all_sets) {
        if ((any || std::strcmp(name, set->name) == 0) && usable(*set)) return set;
    }
    return nullptr;
}

const KernelSet* current_kernel_set() noexcept {
    const KernelSet* known = chosen.load(std::memory_order_acquire);
    if (known) return known;
    const char* name = std::getenv("FLATCONV_ISA");
    const KernelSet* const set = find_kernel_set(name && *name ? name : "auto");
    // What another thread has chosen meanwhile stands.
    if (set && !chosen.compare_exchange_strong(known, set, std::memory_order_acq_rel)) return known;
    return set;
}

void use_kernel_set(const KernelSet& set) noexcept { chosen.store(&set, std::memory_order_release); }

}  // namespace flatconv
