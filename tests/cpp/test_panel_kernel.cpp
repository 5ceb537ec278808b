// The micro-kernel with lanes across channels, alone: each tile size of every usable set, and operands in any place.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

namespace {

/// From one row to the next of a run, and from the first run to the second.
struct Steps {
    std::ptrdiff_t left_stride, left_jump, y_jump;
};

/// Multiples of `step`, each once, in an order of their own.
std::vector<std::ptrdiff_t> shuffled_offsets(int count, std::ptrdiff_t step, unsigned seed) {
    std::vector<std::ptrdiff_t> offsets(static_cast<std::size_t>(count));
    std::iota(offsets.begin(), offsets.end(), std::ptrdiff_t(0));
    std::shuffle(offsets.begin(), offsets.end(), std::mt19937(seed));
    for (std::ptrdiff_t& offset : offsets) offset *= step;
    return offsets;
}

}  // namespace

TEST_CASE_TEMPLATE("multiply_panel computes every tile size to the bit and writes nothing else", T, float, double) {
    constexpr int depth = 29;
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        REQUIRE(kernels.panel_vectors <= max_panel_vectors);
        for (int vectors = 1; vectors <= kernels.panel_vectors; ++vectors) {
            const int cols = vectors * kernels.lanes, most_rows = kernels.panel_rows[vectors - 1];
            // The panel's last vector and the last pixel end where memory does.
            const auto panel_size = std::size_t(depth * cols);
            const GuardedMemory<T> panel_memory(panel_size);
            const auto panel_numbers = random_numbers<T>(panel_size, 2);
            const T* const panel = panel_memory.copy(panel_numbers, panel_size);
            const auto right_offsets = shuffled_offsets(depth, cols, 3);
            const VectorOperand<T> right{panel, right_offsets.data()};
            const std::ptrdiff_t y_stride = cols + 3;
            for (int rows = 1; rows <= most_rows; ++rows) {
                const auto before = random_numbers<T>(std::size_t((rows + 3) * y_stride), 4);
                // An even number of rows are two runs, one after the other or far apart; an odd number are one.
                const int run = rows % 2 == 0 ? rows / 2 : rows;
                for (const Steps& steps :
                     {Steps{1, run, run * y_stride}, Steps{3, 3 * run, run * y_stride},
                      Steps{7, 7 * run + 11, (run + 2) * y_stride}, Steps{-5, -5 * run, run * y_stride}}) {
                    const std::ptrdiff_t left_stride = steps.left_stride, left_jump = steps.left_jump;
                    const std::ptrdiff_t y_jump = steps.y_jump;
                    const std::ptrdiff_t reach = (run - 1) * std::abs(left_stride) + std::abs(left_jump) + 1;
                    const auto left_size = std::size_t(depth * reach);
                    const GuardedMemory<T> left_memory(left_size);
                    const auto left_numbers = random_numbers<T>(left_size, 1);
                    const T* left = left_memory.copy(left_numbers, left_size);
                    if (left_stride < 0) left += reach - 1;
                    const auto left_offsets = shuffled_offsets(depth, reach, 5);
                    for (const bool accumulate : {false, true}) {
                        std::vector<T> y = before, expected = before, y_fetching = before;
                        for (int r = 0; r < rows; ++r) {
                            const T* const pixel = left + r / run * left_jump + r % run * left_stride;
                            for (int c = 0; c < cols; ++c) {
                                T sum = 0;
                                for (std::size_t d = 0; d < depth; ++d) {
                                    sum = std::fma(pixel[left_offsets[d]], panel[right_offsets[d] + c], sum);
                                }
                                T& at = expected[std::size_t(1 + r / run * y_jump + r % run * y_stride + c)];
                                at = accumulate ? at + sum : sum;
                            }
                        }
                        Tile<T> tile{left, left_stride, left_offsets.data(), &right,  y.data() + 1, y_stride, depth,
                                     rows, cols,        accumulate,          nullptr, left_jump,    y_jump};
                        kernels.multiply_panel(tile);
                        tile.y = y_fetching.data() + 1;
                        tile.ahead = left;
                        tile.ahead_step = 24;
                        kernels.multiply_panel(tile);
                        CAPTURE(rows);
                        CAPTURE(vectors);
                        CAPTURE(left_stride);
                        CAPTURE(accumulate);
                        REQUIRE(same_bits(y, expected));
                        REQUIRE(same_bits(y_fetching, expected));
                    }
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("a panel of no depth gives zeros, or leaves what was summed", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const auto lanes = std::size_t(kernels.lanes);
        const VectorOperand<T> nothing{nullptr, nullptr};
        std::vector<T> y(lanes, T(7));
        kernels.multiply_panel({nullptr, 1, nullptr, &nothing, y.data(), 0, 0, 1, kernels.lanes, true, nullptr});
        CHECK(same_bits(y, std::vector<T>(lanes, T(7))));
        kernels.multiply_panel({nullptr, 1, nullptr, &nothing, y.data(), 0, 0, 1, kernels.lanes, false, nullptr});
        CHECK(same_bits(y, std::vector<T>(lanes, T(0))));
    }
}
