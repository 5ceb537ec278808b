// The kernels for a single pixel, alone: chains of every kind on every usable set, up to the end of memory.
#include <doctest/doctest.h>

#include <cmath>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

namespace {

/// What each chain shall come to: `weight(chain, channel, depth)` tells its weights.
template <typename T, typename Weight>
std::vector<T> expected_sums(int count, int channels, int depth, const T* x, const Weight& weight) {
    std::vector<T> sums;
    for (int chain = 0; chain < count; ++chain) {
        for (int channel = 0; channel < channels; ++channel) {
            T sum = 0;
            for (int d = 0; d < depth; ++d) sum = std::fma(x[chain + d], weight(chain, channel, d), sum);
            sums.push_back(sum);
        }
    }
    return sums;
}

}  // namespace

TEST_CASE_TEMPLATE("chain_panels computes chains of every width to the bit", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        for (int vectors = 1; vectors <= kernels.panel_vectors; ++vectors) {
            for (const int depth : {1, 31, 32, 33, 70}) {
                for (const int count : {1, 3}) {
                    const int width = vectors * kernels.lanes;
                    const auto size = std::size_t(count * depth * width), x_size = std::size_t(depth + count - 1);
                    const GuardedMemory<T> memory(size), x_memory(x_size);
                    const T* const weights = memory.copy(random_numbers<T>(size, 1), size);
                    const T* const x = x_memory.copy(random_numbers<T>(x_size, 2), x_size);
                    std::vector<T> sums(std::size_t(count * width), T(NAN));
                    std::vector<PixelChain<T>> chains;
                    for (int c = 0; c < count; ++c) {
                        chains.push_back({x + c, weights + c * depth * width, sums.data() + c * width});
                    }
                    kernels.chain_panels({chains.data(), count, depth, vectors, 0});
                    CHECK(same_bits(sums, expected_sums(count, width, depth, x, [&](int chain, int channel, int d) {
                                        return weights[(chain * depth + d) * width + channel];
                                    })));
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("chain_rows computes chains of rows to the bit", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const int lanes = kernels.lanes;
        // Short rows, and some that are long enough to begin with cache lines.
        for (const int depth : {1, 3, lanes - 1, lanes, lanes + 1, 3 * lanes + 2, 17 * lanes}) {
            for (const int earlier : {0, 1, 3}) {
                const int count = 1 + earlier;
                // As much before the rows as is read where their depth fills no vector.
                const int before = depth % lanes == 0 ? 0 : lanes, stride = before + depth;
                const auto size = std::size_t(count * lanes * stride + earlier),
                           x_size = std::size_t(depth + count - 1);
                const GuardedMemory<T> memory(size), x_memory(x_size);
                const T* const weights = memory.copy(random_numbers<T>(size, 1), size) + before;
                const T* const x = x_memory.copy(random_numbers<T>(x_size, 2), x_size);
                std::vector<T> sums(std::size_t(count * lanes), T(NAN));
                std::vector<PixelChain<T>> chains;
                for (int c = 0; c < count; ++c) {
                    chains.push_back({x + c, weights + c * lanes * stride, sums.data() + c * lanes});
                }
                kernels.chain_rows({chains.data(), count, depth, 1, stride});
                CHECK(same_bits(sums, expected_sums(count, lanes, depth, x, [&](int chain, int channel, int d) {
                                    return weights[(chain * lanes + channel) * stride + d];
                                })));
            }
        }
    }
}
