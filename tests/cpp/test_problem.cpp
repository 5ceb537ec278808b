// Shape arithmetic and padding, against definitions and numpy.pad's documented examples.
#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "base/checked.hpp"
#include "problem/conv_shape.hpp"
#include "problem/padding.hpp"

using namespace flatconv;

namespace {

ConvProblem square(std::int64_t input, std::int64_t kernel) {
    ConvProblem problem;
    problem.input = {1, input, input};
    problem.kernel = {1, kernel, kernel};
    return problem;
}

std::string message(const ConvProblem& problem, StatusCode code = StatusCode::invalid_argument) {
    ConvShape shape{};
    const Status status = make_shape(problem, shape);
    CHECK(status.code == code);
    return status.message;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("checked arithmetic stays invalid after an overflow") {
    const Checked big(std::numeric_limits<std::int64_t>::max());
    CHECK((big + 0).valid());
    CHECK_FALSE((big + 1).valid());
    CHECK_FALSE((big * 2 * 0).valid());
    CHECK_FALSE((Checked(std::numeric_limits<std::int64_t>::min()) - 1).valid());
    CHECK_FALSE((big * 2).at_most(std::numeric_limits<std::int64_t>::max()));
    CHECK(ceil_div(7, 2) == 4);
    CHECK(round_up(7, 4) == 8);
    CHECK(round_up(8, 4) == 8);
}

TEST_CASE("source_index walks as numpy.pad does") {
    const auto walk = [](PaddingMode mode, std::int64_t size) {
        std::string digits;
        for (std::int64_t i = -6; i < size + 6; ++i) {
            const std::int64_t source = source_index(mode, i, size);
            digits += source == zero_element ? "." : std::to_string(source);
        }
        return digits;
    };
    CHECK(walk(PaddingMode::zeros, 3) == "......012......");
    CHECK(walk(PaddingMode::replicate, 3) == "000000012222222");
    CHECK(walk(PaddingMode::circular, 3) == "012012012012012");
    CHECK(walk(PaddingMode::reflect, 3) == "210121012101210");
    CHECK(walk(PaddingMode::symmetric, 3) == "012210012210012");
    CHECK(walk(PaddingMode::reflect, 1) == "0000000000000");
    CHECK(source_index(PaddingMode::circular, 5, 0) == zero_element);
}

TEST_CASE("output sizes agree with counting positions") {
    for (std::int64_t size = 1; size <= 9; ++size) {
        for (std::int64_t kernel = 1; kernel <= 4; ++kernel) {
            for (std::int64_t stride = 1; stride <= 4; ++stride) {
                for (std::int64_t dilation = 1; dilation <= 3; ++dilation) {
                    ConvProblem problem = square(size, kernel);
                    problem.stride = {1, stride, stride};
                    problem.dilation = {1, dilation, dilation};
                    for (const std::int64_t pad : {0, 1, 3}) {
                        problem.padding = PaddingRule::amounts;
                        problem.pad_before = {0, pad, 0};
                        problem.pad_after = {0, 1, 2};
                        std::int64_t counted[2] = {0, 0};
                        const std::int64_t padded[2] = {size + pad + 1, size + 2};
                        for (int axis = 0; axis < 2; ++axis) {
                            for (std::int64_t o = 0; o * stride + (kernel - 1) * dilation < padded[axis]; ++o) {
                                ++counted[axis];
                            }
                        }
                        Extent output{};
                        const Status status = output_size(problem, output);
                        CHECK(bool(status) == (counted[0] > 0 && counted[1] > 0));
                        if (status) CHECK(output == Extent{1, counted[0], counted[1]});
                    }
                    for (const PaddingRule rule : {PaddingRule::same, PaddingRule::same_lower}) {
                        problem.padding = rule;
                        Extent output{};
                        REQUIRE(output_size(problem, output));
                        CHECK(output[1] == ceil_div(size, stride));
                    }
                    problem.padding = PaddingRule::full;
                    Extent output{};
                    REQUIRE(output_size(problem, output));
                    CHECK(output[1] == (size + (kernel - 1) * dilation - 1) / stride + 1);
                }
            }
        }
    }
}

TEST_CASE("the odd element of same padding goes after, of same_lower before") {
    CHECK(resolve_padding(PaddingRule::same, 5, 2, 1).before == 0);
    CHECK(resolve_padding(PaddingRule::same, 5, 2, 1).after == 1);
    CHECK(resolve_padding(PaddingRule::same_lower, 5, 2, 1).before == 1);
    CHECK(resolve_padding(PaddingRule::same_lower, 5, 2, 1).after == 0);
    // A stride that steps over the image's end needs no padding at all.
    CHECK(resolve_padding(PaddingRule::same, 10, 1, 3).after == 0);
}

TEST_CASE("a kernel that does not fit is explained") {
    ConvProblem problem = square(6, 5);
    problem.dilation = {1, 2, 2};
    problem.pad_before = problem.pad_after = {0, 1, 1};
    CHECK(message(problem) ==
          "kernel (5 × 5, dilation 2 → extent 9 × 9) does not fit the padded input (8 × 8): output height = "
          "floor((6 + 1 + 1 − 9) / 1) + 1 = 0. Use padding ≥ 2, or a smaller dilation.");
    problem = square(2, 3);
    problem.stride = {1, 2, 2};
    CHECK(contains(message(problem), "= floor((2 + 0 + 0 − 3) / 2) + 1 = 0"));
}

TEST_CASE("bad values are named") {
    ConvProblem problem = square(8, 3);
    SUBCASE("stride") {
        problem.stride[2] = 0;
        CHECK(message(problem) == "stride must be at least 1 along the width, got 0");
    }
    SUBCASE("dilation") {
        problem.dilation[1] = -1;
        CHECK(message(problem) == "dilation must be at least 1 along the height, got -1");
    }
    SUBCASE("padding") {
        problem.pad_after[1] = -1;
        CHECK(message(problem) == "padding must be at least 0 along the height, got -1");
    }
    SUBCASE("kernel") {
        problem.kernel[1] = 0;
        CHECK(contains(message(problem), "kernel must be at least 1"));
    }
    SUBCASE("groups") {
        problem.groups = 0;
        CHECK(message(problem) == "groups must be at least 1, got 0");
        problem.groups = 2;
        problem.in_channels = 3;
        CHECK(contains(message(problem), "x has 3 channels"));
        problem.in_channels = 4;
        problem.out_channels = 3;
        CHECK(contains(message(problem), "weight has 3 output channels"));
        problem.out_channels = 0;
        CHECK(contains(message(problem), "weight has 0 output channels"));
    }
    SUBCASE("rank") {
        problem.spatial_rank = 4;
        CHECK(contains(message(problem), "spatial_rank"));
    }
    SUBCASE("nothing to repeat") {
        problem.input[2] = 0;
        problem.pad_before[2] = 4;
        problem.padding_mode = PaddingMode::reflect;
        CHECK(contains(message(problem), "width 0"));
    }
}

TEST_CASE("sizes that do not fit are refused before they are used") {
    ConvProblem problem = square(8, 3);
    SUBCASE("extent") {
        problem.dilation = {1, std::int64_t{1} << 31, 1};
        problem.padding = PaddingRule::same;
        CHECK(contains(message(problem), "2³¹"));
    }
    SUBCASE("padding") {
        problem.pad_before = problem.pad_after = {0, std::int64_t{1} << 62, std::int64_t{1} << 62};
        CHECK(contains(message(problem, StatusCode::size_overflow), "padding"));
    }
    SUBCASE("output") {
        problem.pad_before = {0, std::int64_t{1} << 40, std::int64_t{1} << 40};
        CHECK(contains(message(problem, StatusCode::size_overflow), "output"));
    }
    SUBCASE("x") {
        problem.batch = std::int64_t{1} << 60;
        CHECK(contains(message(problem, StatusCode::size_overflow), "x of"));
    }
    SUBCASE("weight") {
        problem.out_channels = std::int64_t{1} << 60;
        CHECK(contains(message(problem, StatusCode::size_overflow), "weight"));
    }
    SUBCASE("region matrix") {
        problem.input = {1, std::int64_t{1} << 20, std::int64_t{1} << 20};
        problem.kernel = {1, std::int64_t{1} << 11, std::int64_t{1} << 11};
        ConvShape shape{};
        REQUIRE(make_shape(problem, shape));
        CHECK(make_region_shape(problem, 8, shape).code == StatusCode::size_overflow);
    }
}

TEST_CASE("a stride beyond the image leaves one position") {
    ConvProblem problem = square(8, 3);
    problem.stride = {1, std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max()};
    Extent output{};
    REQUIRE(output_size(problem, output));
    CHECK(output == Extent{1, 1, 1});
    ConvShape shape{};
    REQUIRE(make_shape(problem, shape));
    CHECK(shape.stride == Extent{1, 1, 1});
}
