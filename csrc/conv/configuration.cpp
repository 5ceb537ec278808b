// The public functions about the machine and the build.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "conv/status.hpp"
#include "cpu/dispatch.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

namespace {

Status unusable(const char* argument, const char* name) {
    std::string message =
        std::string(argument) + " must be auto or one that this CPU can run, got \"" + name + "\"; usable:";
    for (const IsaInfo& info : instruction_sets()) {
        if (info.usable) message += std::string(" ") + info.name;
    }
    return {StatusCode::invalid_argument, std::move(message)};
}

template <typename T>
double peak(const Kernels<T>& kernels) {
    using Clock = std::chrono::steady_clock;
    constexpr std::int64_t steps = 100'000;
    double best = 0;
    for (int round = 0; round < 5; ++round) {
        const Clock::time_point start = Clock::now();
        // The branch keeps the compiler from dropping a result that nobody reads; the chains never reach 0.
        if (kernels.multiply_add_chains(steps) == T(0)) return 0;
        const std::chrono::duration<double> elapsed = Clock::now() - start;
        best = std::max(best, 2.0 * kernels.lanes * kernels.chains * double(steps) / elapsed.count());
    }
    return best;
}

}  // namespace

Status unusable_isa() {
    const char* name = std::getenv("FLATCONV_ISA");
    return unusable("FLATCONV_ISA, an instruction set,", name ? name : "");
}

inline namespace v0 {

std::vector<IsaInfo> instruction_sets() {
    std::vector<IsaInfo> sets;
    const CompiledSets compiled = compiled_kernel_sets();
    for (int i = 0; i < compiled.count; ++i) {
        const KernelSet& set = *compiled.sets[i];
        sets.push_back({set.name, usable(set), set.float32.tile_rows, set.float32.tile_cols, set.float64.tile_rows,
                        set.float64.tile_cols});
    }
    return sets;
}

Status get_isa(std::string& name) noexcept {
    return guarded([&]() -> Status {
        const KernelSet* set = current_kernel_set();
        if (!set) return unusable_isa();
        name = set->name;
        return {};
    });
}

Status set_isa(const char* name) noexcept {
    return guarded([&]() -> Status {
        if (!name) name = "null";
        const KernelSet* set = find_kernel_set(name);
        if (!set) return unusable("isa", name);
        use_kernel_set(*set);
        return {};
    });
}

Status measure_peak(DType dtype, double& operations_per_second) noexcept {
    return guarded([&]() -> Status {
        const KernelSet* set = current_kernel_set();
        if (!set) return unusable_isa();
        operations_per_second = computes_in_float(real_dtype(dtype)) ? peak(set->float32) : peak(set->float64);
        return {};
    });
}

const char* compiler() noexcept {
#if defined(__clang__)
    return "Clang " __clang_version__;
#else
    return "GCC " __VERSION__;
#endif
}

}  // namespace v0
}  // namespace flatconv
