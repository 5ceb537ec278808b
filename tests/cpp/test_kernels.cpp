// The kernels of every usable set, alone: each tile size, and memory that must not be touched.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/checked.hpp"
#include "guarded_memory.hpp"
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
        // Each vector of pixels has a place and an order of its own.
        std::vector<VectorOperand<T>> vectors;
        std::vector<std::vector<std::ptrdiff_t>> offsets;
        for (int v = 0; v < kernels.tile_cols / kernels.lanes; ++v) {
            std::vector<std::ptrdiff_t> depths;
            for (int d = 0; d < depth; ++d) depths.push_back((d * (2 + v) % depth) * kernels.tile_cols);
            offsets.push_back(depths);
        }
        for (int v = 0; v < kernels.tile_cols / kernels.lanes; ++v) {
            vectors.push_back({regions.data() + v * kernels.lanes, offsets[std::size_t(v)].data()});
        }
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
                                const VectorOperand<T>& vector = vectors[std::size_t(c / kernels.lanes)];
                                sum = std::fma(weights[std::size_t(r * row_stride + d)],
                                               vector.base[vector.offsets[d] + c % kernels.lanes], sum);
                            }
                            T& at = expected[std::size_t(r * y_stride + c)];
                            at = accumulate ? at + sum : sum;
                            if (with_bias) at += bias[std::size_t(r)];
                        }
                    }
                    const Epilogue<T> epilogue{bias.data(), nullptr, 0, false, T(0), T(0)};
                    kernels.multiply({weights.data(), row_stride, nullptr, vectors.data(), y.data(), y_stride, depth,
                                      rows, cols, accumulate, with_bias ? &epilogue : nullptr});
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
        const VectorOperand<T> nothing{nullptr, nullptr};
        const Epilogue<T> epilogue{&bias, nullptr, 0, false, T(0), T(0)};
        kernels.multiply({&bias, 1, nullptr, &nothing, y, 1, 0, 1, 1, false, &epilogue});
        CHECK(y[0] == T(2.5));
    }
}

TEST_CASE_TEMPLATE("pack_vector fills every row, for any number of copies", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const int lanes = kernels.lanes;
        CAPTURE(set->name);
        const auto band = random_numbers<T>(8192, 5);
        const std::vector<std::ptrdiff_t> offsets = {0, 17, 5, 1000, 3};
        const auto depth = std::int64_t(offsets.size());
        for (int pieces = 1; pieces <= lanes; ++pieces) {
            std::vector<PixelCopy> copies;
            std::vector<std::ptrdiff_t> source;
            for (int p = 0; p < pieces; ++p) {
                const int begin = lanes * p / pieces, end = lanes * (p + 1) / pieces;
                copies.push_back({100 * p, begin});
                for (int at = begin; at < end; ++at) source.push_back(100 * p + at - begin);
            }
            std::vector<T> packed(std::size_t((depth + 1) * lanes), std::numeric_limits<T>::quiet_NaN());
            kernels.pack_vector({band.data(), offsets.data(), depth, copies.data(), pieces, packed.data()});
            for (std::int64_t d = 0; d < depth; ++d) {
                for (int lane = 0; lane < lanes; ++lane) {
                    const T expected = band[std::size_t(offsets[std::size_t(d)] + source[std::size_t(lane)])];
                    REQUIRE(packed[std::size_t(d * lanes + lane)] == expected);
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("take_even takes every second element and reads none behind the last", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const auto most = std::size_t(5 * kernels.lanes + 2);
        const auto numbers = random_numbers<T>(2 * most, 6);
        const GuardedMemory<T> memory(2 * most);
        for (std::size_t count = 0; count <= most; ++count) {
            const T* from = memory.copy(numbers, count ? 2 * count - 1 : 0);
            std::vector<T> to(count + 3, T(-5)), expected = to;
            for (std::size_t i = 0; i < count; ++i) expected[i + 1] = numbers[2 * i];
            kernels.copy_block({from, 0, 2, 1, std::int64_t(count), to.data() + 1, 0});
            CAPTURE(count);
            REQUIRE(same_bits(to, expected));
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

TEST_CASE("instruction sets that differ in bytes and halves alone have the floats' kernels of AVX-512") {
    // So the tests in Python try these kernels by the name of that set alone.
    const CompiledSets compiled = compiled_kernel_sets();
    const auto find = [&](const std::string& name) {
        return std::find_if(compiled.sets, compiled.sets + compiled.count,
                            [&](const KernelSet* set) { return set->name == name; });
    };
    const auto end = compiled.sets + compiled.count, avx512 = find("avx512");
    for (const char* name : {"avx512_vnni", "avx512_bf16"}) {
        const auto set = find(name);
        if (set == end) continue;
        CAPTURE(name);
        REQUIRE(avx512 != end);
        CHECK(std::memcmp(&(*set)->float32, &(*avx512)->float32, sizeof(Kernels<float>)) == 0);
        CHECK(std::memcmp(&(*set)->float64, &(*avx512)->float64, sizeof(Kernels<double>)) == 0);
        CHECK(std::memcmp(&(*set)->float16, &(*avx512)->float16, sizeof(HalfKernels<float>)) == 0);
    }
}
