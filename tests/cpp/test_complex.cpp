// Complex numbers from C++: the bits of the real problem that they stand for, in exactly the workspace that was told.
#include <doctest/doctest.h>

#include <complex>

#include "kernel_sets.hpp"
#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

/// A dense array (outer, channels, inner...) of complex numbers, and the same with the parts of a channel as two.
template <typename T>
struct Pair {
    std::vector<std::complex<T>> numbers;
    std::vector<T> parts;

    Pair(std::int64_t outer, std::int64_t inner, unsigned seed) {
        const auto values = random_numbers<T>(std::size_t(2 * outer * inner), seed);
        numbers.resize(values.size() / 2);
        std::memcpy(static_cast<void*>(numbers.data()), values.data(), values.size() * sizeof(T));
        parts = parts_of(numbers, inner);
    }

    static std::vector<T> parts_of(const std::vector<std::complex<T>>& numbers, std::int64_t inner) {
        std::vector<T> parts;
        for (std::size_t first = 0; first < numbers.size(); first += std::size_t(inner)) {
            for (std::size_t i = 0; i < std::size_t(inner); ++i) parts.push_back(numbers[first + i].real());
            for (std::size_t i = 0; i < std::size_t(inner); ++i) parts.push_back(numbers[first + i].imag());
        }
        return parts;
    }
};

/// The matrices ((re, −im), (im, re)) of weights (first, second, taps), or of their conjugates.
template <typename T>
std::vector<T> real_weights(const std::vector<std::complex<T>>& weights, std::int64_t second, std::int64_t taps,
                            bool conjugates) {
    const auto row = std::size_t(second * taps), n = std::size_t(taps);
    std::vector<T> real(4 * weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
        T* const at = real.data() + i / row * 4 * row + i % row / n * 2 * n + i % n;
        const std::complex<T> w = conjugates ? std::conj(weights[i]) : weights[i];
        at[0] = w.real(), at[n] = -w.imag();
        at[2 * row] = w.imag(), at[2 * row + n] = w.real();
    }
    return real;
}

/// Runs `call(options)` in a workspace of so many bytes, and checks that none beside them was touched.
template <typename Call>
void run_within(std::size_t bytes, Options options, const Call& call) {
    constexpr std::size_t margin = 64;
    const auto outside = std::byte{0xA5};
    std::vector<std::byte> memory(margin + bytes + margin, outside);
    options.workspace = memory.data() + margin;
    options.workspace_bytes = bytes;
    const Status status = call(options);
    REQUIRE_MESSAGE(status, status.message);
    REQUIRE(std::count(memory.begin(), memory.begin() + margin, outside) == margin);
    REQUIRE(std::count(memory.end() - margin, memory.end(), outside) == margin);
}

template <typename T>
void check(unsigned seed) {
    std::mt19937 random(seed);
    ConvProblem problem = random_problem(random, seed % 2 == 1);
    problem.in_channels = problem.groups * (1 + seed % 3);
    problem.out_channels = problem.groups * (1 + seed % 4);
    ConvProblem real = problem;
    problem.dtype = sizeof(T) == 4 ? DType::complex64 : DType::complex128;
    real.dtype = dtype_of<T>();
    real.in_channels *= 2, real.out_channels *= 2;
    CAPTURE(seed);

    const Sizes sizes = sizes_of(problem);
    const std::int64_t pixels = product(problem.input), taps = product(problem.kernel);
    const std::int64_t second = (problem.transposed ? problem.out_channels : problem.in_channels) / problem.groups;
    const std::int64_t positions = sizes.y / problem.batch / problem.out_channels;
    const Pair<T> x(sizes.x / pixels, pixels, 1), weight(sizes.weight / taps, taps, 2), bias(sizes.bias, 1, 3);
    const Pair<T> dy(sizes.y / positions, positions, 4);
    const auto weights = real_weights(weight.numbers, second, taps, problem.transposed);
    Options reference;
    reference.algorithm = Algorithm::reference;
    std::vector<T> y_parts(2 * std::size_t(sizes.y)), dx_parts(2 * std::size_t(sizes.x)), dw_parts(weights.size());
    REQUIRE(conv(real, {x.parts.data(), weights.data(), bias.parts.data()}, y_parts.data(), reference));
    REQUIRE(conv_input_gradient(real, dy.parts.data(), weights.data(), dx_parts.data(), reference));
    REQUIRE(conv_weight_gradient(real, x.parts.data(), dy.parts.data(), dw_parts.data(), reference));

    PackedConv layer;
    REQUIRE(PackedConv::pack(problem, weight.numbers.data(), bias.numbers.data(), layer));
    const std::complex<T> nan(std::numeric_limits<T>::quiet_NaN());
    for (const Algorithm algorithm : all_algorithms) {
        Options options;
        options.algorithm = algorithm;
        options.threads = 1 + int(seed % 3);
        options.work_per_thread = 0;
        std::vector<std::complex<T>> y(std::size_t(sizes.y), nan), packed = y, dx(std::size_t(sizes.x), nan);
        std::vector<std::complex<T>> dw(std::size_t(sizes.weight), nan);
        std::size_t bytes = 0;
        REQUIRE(workspace_bytes(problem, bytes, options));
        run_within(bytes, options, [&](const Options& own) {
            return conv(problem, {x.numbers.data(), weight.numbers.data(), bias.numbers.data()}, y.data(), own);
        });
        CHECK(same_bits(Pair<T>::parts_of(y, positions), y_parts));
        REQUIRE(layer.workspace_bytes(problem.batch, problem.input, bytes, options));
        run_within(bytes, options, [&](const Options& own) {
            return layer.run(problem.batch, problem.input, x.numbers.data(), packed.data(), {}, own);
        });
        CHECK(same_bits(packed, y));
        REQUIRE(workspace_bytes(problem, bytes, options, Operation::input_gradient));
        run_within(bytes, options, [&](const Options& own) {
            return conv_input_gradient(problem, dy.numbers.data(), weight.numbers.data(), dx.data(), own);
        });
        CHECK(same_bits(Pair<T>::parts_of(dx, pixels), dx_parts));
        REQUIRE(workspace_bytes(problem, bytes, options, Operation::weight_gradient));
        run_within(bytes, options, [&](const Options& own) {
            return conv_weight_gradient(problem, x.numbers.data(), dy.numbers.data(), dw.data(), own);
        });
        // Every weight stands in four places of the matrices, in one of them negated.
        const auto row = std::size_t(second * taps), n = std::size_t(taps);
        std::vector<std::complex<T>> sums;
        for (std::size_t i = 0; i < dw.size(); ++i) {
            const T* const at = dw_parts.data() + i / row * 4 * row + i % row / n * 2 * n + i % n;
            const T imaginary = problem.transposed ? at[n] - at[2 * row] : at[2 * row] - at[n];
            sums.emplace_back(at[0] + at[2 * row + n], imaginary);
        }
        CHECK(same_bits(dw, sums));
    }
}

}  // namespace

TEST_CASE("complex problems have the bits of the real ones, in the workspace that they ask for") {
    const IsaReset reset;
    const auto sets = usable_kernel_sets();
    for (unsigned seed = 0; seed < 12; ++seed) {
        REQUIRE(set_isa(sets[seed / 2 % sets.size()]->name));
        check<float>(seed);
        check<double>(seed + 100);
    }
}

TEST_CASE("what complex problems refuse, and what they cannot address") {
    ConvProblem problem;
    problem.dtype = DType::complex64;
    problem.activation = {Activation::relu};
    Extent output{};
    CHECK(output_size(problem, output).code == StatusCode::invalid_argument);
    problem.activation = {};
    REQUIRE(output_size(problem, output));
    problem.out_channels = std::int64_t{1} << 58;
    CHECK(output_size(problem, output));
    problem.out_channels *= 8;
    CHECK(output_size(problem, output).code == StatusCode::size_overflow);
    problem.out_channels = 1;
    problem.in_channels = std::int64_t{1} << 62;
    problem.input = {1, 0, 1};
    problem.pad_before = {0, 1, 0};
    CHECK(output_size(problem, output).code == StatusCode::size_overflow);
    problem.dtype = DType(17);
    CHECK(output_size(problem, output).code == StatusCode::invalid_argument);
}
