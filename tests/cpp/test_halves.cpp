// Halves: every conversion of every kernel set against the definition, and calls in a workspace of the size they ask
// for.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernel_sets.hpp"
#include "kernels/half.hpp"
#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

template <typename Half>
const HalfKernels<float>& half_kernels_of(const KernelSet& set) {
    return std::is_same_v<Half, Float16> ? set.float16 : set.bfloat16;
}

bool same_number(float a, float b) { return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0; }

/// Halves of all kinds, or those without the bits that `mask` lacks.
template <typename Half>
std::vector<Half> halves(std::size_t count, unsigned first, unsigned mask = 0xFFFF) {
    std::vector<Half> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = {std::uint16_t((first + i) * 40503u & mask)};
    return values;
}

/// Floats next to what a half can be, and halfway between two.
template <typename Half>
std::vector<float> floats(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> values(count);
    for (float& value : values) {
        const std::uint32_t bits = bits_of_float(widened(Half{std::uint16_t(random())}));
        const std::uint32_t between[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFF, 0x1000, 0x1001, std::uint32_t(random())};
        value = float_of_bits(bits ^ between[random() % std::size(between)]);
    }
    return values;
}

}  // namespace

TEST_CASE_TEMPLATE("narrowing gives back what was widened, rounds to the nearest, and to even", Half, Float16,
                   BFloat16) {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        const Half half{std::uint16_t(bits)};
        const float number = widened(half);
        if (std::isnan(number)) {
            CHECK(std::isnan(widened(narrowed<Half>(number))));
            continue;
        }
        REQUIRE(narrowed<Half>(number).bits == half.bits);
        const Half next{std::uint16_t(bits + 1)};
        if ((bits & 0x7FFF) == 0x7FFF || !std::isfinite(widened(next))) continue;
        const float middle = float((double(number) + double(widened(next))) / 2);
        const Half even = bits % 2 == 0 ? half : next;
        REQUIRE(narrowed<Half>(middle).bits == even.bits);
        REQUIRE(narrowed<Half>(std::nextafter(middle, number)).bits == half.bits);
        REQUIRE(narrowed<Half>(std::nextafter(middle, widened(next))).bits == next.bits);
    }
    const double largest = std::is_same_v<Half, Float16> ? 65504 : double(widened(BFloat16{0x7F7F}));
    CHECK(double(widened(narrowed<Half>(float(largest * 1.0001)))) == largest);
    const float beyond = std::is_same_v<Half, Float16> ? 65520.0f : std::numeric_limits<float>::max();
    CHECK(std::isinf(widened(narrowed<Half>(beyond))));
}

TEST_CASE_TEMPLATE("kernels widen and narrow rows of any length, step and address", Half, Float16, BFloat16) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const HalfKernels<float>& kernels = half_kernels_of<Half>(*set);
        CAPTURE(set->name);
        for (const std::ptrdiff_t step : {2, 4, 6, -2, 3, 0}) {
            for (std::int64_t cols = 1; cols < 70; cols += cols < 40 ? 1 : 7) {
                constexpr std::int64_t rows = 3;
                const std::ptrdiff_t span = std::abs(step) * (cols - 1) + 2;
                // Nothing but the numbers themselves may be read or written, and they are at odd addresses.
                std::vector<std::byte> memory(std::size_t(rows * span) + 1, std::byte{0xA5});
                std::byte* const first = memory.data() + 1 + (step < 0 ? span - 2 : 0);
                const auto values = halves<Half>(std::size_t(rows * cols), unsigned(cols * 977 + step));
                for (std::int64_t i = 0; i < rows * cols; ++i) {
                    std::memcpy(first + i / cols * span + i % cols * step, &values[std::size_t(i)], sizeof(Half));
                }
                std::vector<float> numbers(std::size_t(rows * (cols + 1)), -7.0f);
                kernels.widen({first, span, step, rows, cols, numbers.data(), cols + 1});
                for (std::int64_t r = 0; r < rows; ++r) {
                    for (std::int64_t c = 0; c < cols; ++c) {
                        Half half;
                        std::memcpy(&half, first + r * span + c * step, sizeof(Half));
                        REQUIRE(same_number(numbers[std::size_t(r * (cols + 1) + c)], widened(half)));
                    }
                    REQUIRE(numbers[std::size_t(r * (cols + 1) + cols)] == -7.0f);
                }
                if (std::abs(step) < 2 || step == 3) continue;
                const auto sums = floats<Half>(std::size_t(rows * cols), unsigned(cols * 31 + step));
                std::vector<std::byte> expected(memory.size(), std::byte{0xA5});
                memory = expected;
                const std::ptrdiff_t begin = 1 + (step < 0 ? span - 2 : 0);
                kernels.narrow({sums.data(), cols, rows, cols, memory.data() + begin, span, step});
                for (std::int64_t i = 0; i < rows * cols; ++i) {
                    const std::ptrdiff_t at = begin + i / cols * span + i % cols * step;
                    Half half;
                    std::memcpy(&half, memory.data() + at, sizeof(Half));
                    const Half wanted = narrowed<Half>(sums[std::size_t(i)]);
                    REQUIRE(same_number(widened(half), widened(wanted)));
                    std::memcpy(expected.data() + at, &half, sizeof(Half));
                }
                REQUIRE(memory == expected);
            }
        }
    }
}

TEST_CASE("each array of a float32 problem may hold halves, within the workspace that is asked for them") {
    ConvProblem problem;
    problem.in_channels = 60, problem.out_channels = 37;
    problem.input = {1, 9, 13};
    problem.kernel = {1, 5, 3};
    problem.padding = PaddingRule::same;
    const Sizes sizes = sizes_of(problem);
    const std::int64_t counts[] = {sizes.x, sizes.weight, sizes.bias, sizes.y};
    std::vector<Float16> stored[4];
    std::vector<float> numbers[4];
    for (std::size_t i = 0; i < 4; ++i) {
        stored[i] = halves<Float16>(std::size_t(counts[i]), unsigned(i), 0xBBFF);
        for (const Float16 half : stored[i]) numbers[i].push_back(widened(half));
    }
    const auto array = [&](std::size_t i, bool is_half) {
        ConstArray described(is_half ? static_cast<const void*>(stored[i].data()) : numbers[i].data());
        if (is_half) described.stored = DType::float16;
        return described;
    };
    std::vector<float> expected(numbers[3].size()), y(numbers[3].size());
    Options options;
    options.algorithm = Algorithm::reference;
    REQUIRE(
        conv(problem, {array(0, false), array(1, false), array(2, false), array(3, false)}, expected.data(), options));
    for (unsigned mixture = 0; mixture < 16; ++mixture) {
        const auto is_half = [&](unsigned i) { return (mixture >> i & 1) != 0; };
        const Inputs inputs{array(0, is_half(0)), array(1, is_half(1)), array(2, is_half(2)), array(3, is_half(3))};
        PackedConv packed;
        REQUIRE(PackedConv::pack(problem, inputs.weight, inputs.bias, packed));
        for (const Algorithm algorithm : all_algorithms) {
            for (const bool is_packed : {false, true}) {
                options = {};
                options.algorithm = algorithm;
                std::size_t needed = 0;
                REQUIRE((is_packed ? packed.workspace_bytes(problem.batch, problem.input, needed, options, inputs.x)
                                   : workspace_bytes(problem, needed, options, Operation::conv, inputs)));
                std::vector<std::byte> memory(needed);
                options.workspace = memory.data();
                options.workspace_bytes = needed;
                std::fill(y.begin(), y.end(), std::numeric_limits<float>::quiet_NaN());
                const Status status =
                    is_packed ? packed.run(problem.batch, problem.input, inputs.x, y.data(), inputs.residual, options)
                              : conv(problem, inputs, y.data(), options);
                REQUIRE_MESSAGE(status, status.message);
                REQUIRE(y == expected);
            }
        }
    }
}

TEST_CASE("only a float32 problem reads arrays of other halves") {
    const float one[1] = {1};
    double y[2];
    for (const DType dtype : {DType::float64, DType::bfloat16, DType::complex64}) {
        ConvProblem problem;
        problem.dtype = dtype;
        Inputs inputs{one, one, one, one};
        PackedConv packed;
        const std::pair<ConstArray*, const char*> arrays[] = {
            {&inputs.x, "x"}, {&inputs.weight, "weight"}, {&inputs.bias, "bias"}, {&inputs.residual, "residual"}};
        for (const auto& [array, name] : arrays) {
            array->stored = DType::float16;
            const Status status = conv(problem, inputs, y);
            CHECK(status.code == StatusCode::invalid_argument);
            CHECK(status.message == std::string(name) + " is stored as halves, which only a float32 problem reads");
            const bool packs = PackedConv::pack(problem, inputs.weight, inputs.bias, packed).code == StatusCode::ok;
            CHECK(packs == (array == &inputs.x || array == &inputs.residual));
            array->stored = DType::float32;
        }
    }
}

TEST_CASE("calls with halves work in the workspace that they ask for, and touch nothing beside it") {
    ConvProblem problem;
    problem.dtype = DType::float16;
    problem.in_channels = 60, problem.out_channels = 37;
    problem.input = {1, 19, 23};
    problem.kernel = {1, 5, 3};
    problem.padding = PaddingRule::same;
    const Sizes sizes = sizes_of(problem);
    const auto below_one = [](std::int64_t count, unsigned first) {
        return halves<Float16>(std::size_t(count), first, 0xBBFF);
    };
    const auto x = below_one(sizes.x, 1), weight = below_one(sizes.weight, 2), bias = below_one(sizes.bias, 3);
    const auto residual = below_one(sizes.y, 4);
    PackedConv packed;
    REQUIRE(PackedConv::pack(problem, weight.data(), bias.data(), packed));
    const Inputs inputs{x.data(), weight.data(), bias.data(), residual.data()};
    std::vector<Float16> expected(residual.size()), y(residual.size());
    for (const Algorithm algorithm : all_algorithms) {
        for (const bool is_packed : {false, true}) {
            Options options;
            options.algorithm = algorithm;
            options.threads = 3;
            options.work_per_thread = 0;
            std::size_t needed = 0;
            REQUIRE((is_packed ? packed.workspace_bytes(problem.batch, problem.input, needed, options)
                               : workspace_bytes(problem, needed, options)));
            constexpr std::size_t margin = 64;
            std::vector<std::byte> memory(needed + 2 * margin, std::byte{0xA5});
            options.workspace = memory.data() + margin;
            options.workspace_bytes = needed;
            const Status status =
                is_packed ? packed.run(problem.batch, problem.input, x.data(), y.data(), residual.data(), options)
                          : conv(problem, inputs, y.data(), options);
            REQUIRE_MESSAGE(status, status.message);
            CHECK(std::count(memory.begin(), memory.begin() + margin, std::byte{0xA5}) == margin);
            CHECK(std::count(memory.end() - margin, memory.end(), std::byte{0xA5}) == margin);
            options.workspace = nullptr;
            options.algorithm = Algorithm::reference;
            REQUIRE(conv(problem, inputs, expected.data(), options));
            for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(same_number(widened(y[i]), widened(expected[i])));
        }
    }
}
