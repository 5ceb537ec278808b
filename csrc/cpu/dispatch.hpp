// Which kernel set runs: resolved once, best first, unless the caller or FLATCONV_ISA names one.
#ifndef FLATCONV_CPU_DISPATCH_HPP
#define FLATCONV_CPU_DISPATCH_HPP

#include "kernels/kernel_set.hpp"

namespace flatconv {

/// Every compiled set, best first.
struct CompiledSets {
    const KernelSet* const* sets;
    int count;
};
CompiledSets compiled_kernel_sets() noexcept;

bool usable(const KernelSet& set) noexcept;

/// The set with this name ("auto": the best usable one), or null where it is unknown or unusable here.
const KernelSet* find_kernel_set(const char* name) noexcept;

/// The set in use, or null while FLATCONV_ISA names one that cannot be had.
const KernelSet* current_kernel_set() noexcept;

void use_kernel_set(const KernelSet& set) noexcept;

}  // namespace flatconv

#endif
