// The kernels of every usable set, alone: each tile size, and memory that must not be touched.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

TEST_CASE_TEMPLATE("the micro-kernel computes every tile size to the bit and writes nothing else", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const int depth = 37;
        const int row_stride = depth + 3, y_stride = kernels.tile_cols + 5;
        const auto weights = random_numbers<T>(std::size_t(kernels.tile_rows * row_stride), 1);
        const auto regions = random_numbers<T>(std::size_t(depth * kernels.tile_cols), 2);
        const auto bias = random_numbers<T>(std::size_t(kernels.tile_rows), 3);
        const auto before = random_numbers<T>(std::size_t((kernels.tile_rows + 1) * y_stride), 4);
        for (int rows = 1; rows <= kernels.tile_rows; ++rows) {
            for (int cols = 1; cols <= kernels.tile_cols; ++cols) {
                for (const int variant : {0, 1, 2, 3}) {
                    const bool accumulate = variant & 1, with_bias = variant & 2;
                    std::vector<T> y = before, expected = before;
                    for (int r = 0; r < rows; ++r) {
                        for (int c = 0; c < cols; ++c) {
                            T sum = 0;
                            for (int d = 0; d < depth; ++d) {
                                sum = std::fma(weights[std::size_t(r * row_stride + d)],
                                               regions[std::size_t(d * kernels.tile_cols + c)], sum);
                            }
                            T& at = expected[std::size_t(r * y_stride + c)];
                            at = accumulate ? at + sum : sum;
                            if (with_bias) at += bias[std::size_t(r)];
                        }
                    }
                    kernels.multiply({weights.data(), row_stride, regions.data(), y.data(), y_stride, depth, rows, cols,
                                      accumulate, with_bias ? bias.data() : nullptr});
                    CAPTURE(rows);
                    CAPTURE(cols);
                    CAPTURE(variant);
                    REQUIRE(same_bits(y, expected));
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("a tile of no depth is the bias", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const T bias = T(2.5);
        T y[1] = {T(7)};
        kernels.multiply({&bias, 1, &bias, y, 1, 0, 1, 1, false, &bias});
        CHECK(y[0] == T(2.5));
    }
}

TEST_CASE_TEMPLATE("pack_panel fills every row, for any number of copies", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const int lanes = kernels.lanes, cols = kernels.tile_cols;
        CAPTURE(set->name);
        const auto band = random_numbers<T>(8192, 5);
        const std::vector<std::ptrdiff_t> offsets = {0, 17, 5, 1000, 3};
        for (int pieces = 1; pieces <= cols; ++pieces) {
            // Pieces of nearly equal length; each copy of a piece starts where the last one's vector ended.
            std::vector<VectorCopy> copies;
            std::vector<std::ptrdiff_t> source(std::size_t(cols), 0);
            for (int p = 0; p < pieces; ++p) {
                const int begin = cols * p / pieces, end = cols * (p + 1) / pieces;
                for (int at = begin; at < end; ++at) source[std::size_t(at)] = 100 * p + at - begin;
                for (int at = begin; at < end; at += lanes) copies.push_back({100 * p + at - begin, at});
            }
            const auto depth = std::int64_t(offsets.size());
            std::vector<T> panel(std::size_t(depth * cols + lanes), std::numeric_limits<T>::quiet_NaN());
            kernels.pack_panel({band.data(), offsets.data(), depth, copies.data(), int(copies.size()), panel.data()});
            for (std::int64_t d = 0; d < depth; ++d) {
                for (int c = 0; c < cols; ++c) {
                    const T expected = band[std::size_t(offsets[std::size_t(d)] + source[std::size_t(c)])];
                    REQUIRE(panel[std::size_t(d * cols + c)] == expected);
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("the chains of the peak measurement are real multiply-adds", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        // acc = acc / 2 + 1/2, so that after three steps a chain that began at s is at 1 + (s - 1) / 8.
        T expected = 0;
        for (int chain = 0; chain < kernels.chains; ++chain) expected += 1 + T(chain * kernels.lanes - 1) / 8;
        CHECK(kernels.multiply_add_chains(3) == expected);
    }
}

TEST_CASE("a kernel set is found by name, and only where it can run") {
    for (const KernelSet* set : usable_kernel_sets()) CHECK(find_kernel_set(set->name) == set);
    CHECK(find_kernel_set("auto") == usable_kernel_sets().front());
    CHECK(find_kernel_set("mmx") == nullptr);
    CHECK(find_kernel_set("") == nullptr);
}
