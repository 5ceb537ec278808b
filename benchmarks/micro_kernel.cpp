// How close the micro-kernel comes to the register-only peak, for every kernel set that this CPU can run.
//
// Peak and kernel are timed in turn in one process; the ratio is the median over the rounds, because a shared machine
// changes its speed from one second to the next. Operands are packed and in cache, as the loops around the kernel
// arrange it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "cpu/dispatch.hpp"
#include "gemm/weights.hpp"

namespace {

using namespace flatconv;

constexpr int rounds = 31;
constexpr double seconds_per_sample = 2e-3;

/// Operations per second of `work`, which does `operations` of them.
template <typename Work>
double rate(double operations, const Work& work) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    double elapsed = 0;
    std::int64_t calls = 0;
    do {
        for (int i = 0; i < 8; ++i) work();
        calls += 8;
        elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    } while (elapsed < seconds_per_sample);
    return operations * double(calls) / elapsed;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

template <typename T>
void measure(const KernelSet& set, const char* type) {
    const Kernels<T>& kernels = kernels_of<T>(set);
    const std::int64_t depth = depth_block;
    const std::ptrdiff_t stride = packed_row_stride<T>(depth);
    const std::vector<T> weights(std::size_t(kernels.tile_rows * stride), T(0.5));
    const std::vector<T> regions(std::size_t(depth * kernels.tile_cols), T(0.25));
    std::vector<T> y(std::size_t(kernels.tile_rows * kernels.tile_cols));
    std::vector<std::ptrdiff_t> offsets;
    for (std::int64_t d = 0; d < depth; ++d) offsets.push_back(d * kernels.lanes);
    std::vector<VectorOperand<T>> vectors;
    for (int v = 0; v < kernels.tile_cols / kernels.lanes; ++v) {
        vectors.push_back({regions.data() + v * depth * kernels.lanes, offsets.data()});
    }
    const Tile<T> tile{
        weights.data(),    stride, nullptr, vectors.data(), y.data(), kernels.tile_cols, depth, kernels.tile_rows,
        kernels.tile_cols, true,   nullptr};
    volatile T sink;
    std::vector<double> peaks, rates, ratios;
    for (int round = 0; round < rounds; ++round) {
        peaks.push_back(
            rate(2.0 * kernels.lanes * kernels.chains * 1000, [&] { sink = kernels.multiply_add_chains(1000); }));
        rates.push_back(
            rate(2.0 * kernels.tile_rows * kernels.tile_cols * double(depth), [&] { kernels.multiply(tile); }));
        ratios.push_back(rates.back() / peaks.back());
    }
    std::printf("%-9s %-8s %2d x %-3d %9.1f %9.1f %8.1f%%\n", set.name, type, kernels.tile_rows, kernels.tile_cols,
                median(peaks) * 1e-9, median(rates) * 1e-9, 100 * median(ratios));
}

}  // namespace

int main() {
    std::printf("%-9s %-8s %-8s %9s %9s %9s\n", "set", "type", "tile", "peak", "kernel", "of peak");
    const CompiledSets compiled = compiled_kernel_sets();
    for (int i = 0; i < compiled.count; ++i) {
        if (!usable(*compiled.sets[i])) continue;
        measure<float>(*compiled.sets[i], "float32");
        measure<double>(*compiled.sets[i], "float64");
    }
}
