// The kernel for gradients of the weights of single channels, alone: every number of kernel elements, sums that go on.
#include <doctest/doctest.h>

#include <cmath>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

TEST_CASE_TEMPLATE("channelwise_gradient goes on with every sum to the bit and writes nothing else", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const std::int64_t lanes = kernels.lanes;
        CAPTURE(set->name);
        for (std::int64_t taps = 1; taps <= 29; ++taps) {
            const std::int64_t step = 1 + taps % 2;  // from a position to the next
            for (const std::int64_t rows : {1, 3}) {
                for (const std::int64_t cols : {1, 2, 5}) {
                    CAPTURE(taps);
                    CAPTURE(rows);
                    CAPTURE(cols);
                    const std::int64_t width = step * cols + 2, last = (rows - 1) * width + step * (cols - 1);
                    std::vector<std::ptrdiff_t> offsets;
                    for (std::int64_t t = 0; t < taps; ++t) offsets.push_back((taps - 1 - t) * 2 * lanes);
                    const auto band_size = std::size_t((2 * (taps - 1) + last + 1) * lanes);
                    const auto dy_size = std::size_t(rows * cols * lanes);
                    const GuardedMemory<T> band_memory(band_size), dy_memory(dy_size);
                    const T* const band = band_memory.copy(random_numbers<T>(band_size, 1), band_size);
                    const T* const dy = dy_memory.copy(random_numbers<T>(dy_size, 2), dy_size);
                    std::vector<T> sums = random_numbers<T>(std::size_t((taps + 1) * lanes), 3), expected = sums;
                    for (std::int64_t i = 0; i < taps * lanes; ++i) {
                        for (std::int64_t p = 0; p < rows * cols; ++p) {
                            const std::int64_t place = (p / cols * width + p % cols * step) * lanes + i % lanes;
                            expected[std::size_t(i)] =
                                std::fma(dy[p * lanes + i % lanes], band[offsets[std::size_t(i / lanes)] + place],
                                         expected[std::size_t(i)]);
                        }
                    }
                    kernels.channelwise_gradient({band, std::ptrdiff_t(width * lanes), std::ptrdiff_t(step * lanes),
                                                  offsets.data(), taps, 0, dy, rows, cols, sums.data(), nullptr, false,
                                                  false});
                    REQUIRE(same_bits(sums, expected));
                }
            }
        }
    }
}
