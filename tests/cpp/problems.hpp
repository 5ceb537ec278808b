// Random convolutions, shared by the tests of the public API.
#ifndef FLATCONV_TESTS_PROBLEMS_HPP
#define FLATCONV_TESTS_PROBLEMS_HPP

#include <doctest/doctest.h>
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <random>

namespace flatconv::tests {

inline std::int64_t product(const Extent& sizes) { return sizes[0] * sizes[1] * sizes[2]; }

/// Elements of a problem's arrays.
struct Sizes {
    std::int64_t x, weight, bias, y;
};

inline Sizes sizes_of(const ConvProblem& p) {
    Extent output{};
    REQUIRE(output_size(p, output));
    return {p.batch * p.in_channels * product(p.input), p.out_channels * p.in_channels / p.groups * product(p.kernel),
            p.out_channels, p.batch * p.out_channels * product(output)};
}

inline ConvProblem random_problem(std::mt19937& random, bool transposed = false) {
    const auto from = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    for (;;) {
        ConvProblem p;
        p.spatial_rank = int(from(1, 3));
        p.batch = from(1, 3);
        p.groups = from(1, 3);
        p.in_channels = p.groups * from(1, 9);
        p.out_channels = p.groups * from(1, 20);
        for (std::size_t axis = std::size_t(3 - p.spatial_rank); axis < 3; ++axis) {
            p.input[axis] = from(1, axis == 2 ? 80 : 9);
            p.kernel[axis] = from(1, 6);
            p.stride[axis] = from(1, 4);
            p.dilation[axis] = from(1, 4);
            p.pad_before[axis] = from(0, 4);
            p.pad_after[axis] = from(0, 4);
        }
        p.padding_mode = PaddingMode(from(0, 4));
        if (transposed) {
            p.transposed = true;
            p.padding_mode = PaddingMode::zeros;
            for (std::size_t axis = std::size_t(3 - p.spatial_rank); axis < 3; ++axis) {
                p.output_padding[axis] = from(0, std::max(p.stride[axis], p.dilation[axis]) - 1);
            }
        }
        Extent output{};
        if (output_size(p, output)) return p;
    }
}

template <typename T>
constexpr DType dtype_of() {
    return sizeof(T) == 4 ? DType::float32 : DType::float64;
}

/// Gives the instruction set back.
struct IsaReset {
    IsaReset() = default;
    IsaReset(const IsaReset&) = delete;
    IsaReset& operator=(const IsaReset&) = delete;
    ~IsaReset() { CHECK(set_isa("auto")); }
};

inline constexpr Algorithm all_algorithms[] = {Algorithm::automatic, Algorithm::reference, Algorithm::im2col,
                                               Algorithm::implicit,  Algorithm::channels,  Algorithm::direct};

}  // namespace flatconv::tests

#endif
