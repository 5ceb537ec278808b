// Transposed convolutions and gradients through the public API: bits of the reference, memory, failures.
#include <doctest/doctest.h>
#include <flatconv/flatconv.hpp>

#include <algorithm>

#include "allocations.hpp"
#include "conv/transposed_phases.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

struct Sizes {
    std::size_t x, weight, y;
};

Sizes sizes_of(const ConvProblem& p) {
    Extent output{};
    REQUIRE(output_size(p, output));
    const auto product = [](const Extent& e) { return e[0] * e[1] * e[2]; };
    return {std::size_t(p.batch * p.in_channels * product(p.input)),
            std::size_t(p.in_channels * p.out_channels / p.groups * product(p.kernel)),
            std::size_t(p.batch * p.out_channels * product(output))};
}

/// The three operations of a problem, with dense arrays.
struct Call {
    const ConvProblem& problem;
    std::vector<float> x, weight, y;

    explicit Call(const ConvProblem& described) : problem(described) {
        const Sizes sizes = sizes_of(problem);
        x = random_numbers<float>(sizes.x, 1);
        weight = random_numbers<float>(sizes.weight, 2);
        y = random_numbers<float>(sizes.y, 3);
    }

    const std::vector<float>& result_like(Operation operation) const {
        if (operation == Operation::conv) return y;
        return operation == Operation::input_gradient ? x : weight;
    }

    Status run(Operation operation, std::vector<float>& result, const Options& options) const {
        switch (operation) {
            case Operation::conv: return conv(problem, {x.data(), weight.data()}, result.data(), options);
            case Operation::input_gradient:
                return conv_input_gradient(problem, y.data(), weight.data(), result.data(), options);
            default: return conv_weight_gradient(problem, x.data(), y.data(), result.data(), options);
        }
    }
};

ConvProblem upsampling() {
    ConvProblem problem;
    problem.transposed = true;
    problem.batch = 2;
    problem.groups = 2;
    problem.in_channels = 24, problem.out_channels = 10;
    problem.input = {1, 13, 14};
    problem.kernel = {1, 4, 3};
    problem.stride = {1, 2, 2};
    problem.pad_before = {0, 1, 0};
    problem.pad_after = {0, 0, 2};
    problem.output_padding = {0, 1, 0};
    return problem;
}

ConvProblem reflecting() {
    ConvProblem problem;
    problem.batch = 2;
    problem.in_channels = 7, problem.out_channels = 20;
    problem.input = {1, 15, 40};
    problem.kernel = {1, 3, 5};
    problem.stride = {1, 1, 2};
    problem.pad_before = {0, 2, 3};
    problem.pad_after = {0, 1, 4};
    problem.padding_mode = PaddingMode::reflect;
    return problem;
}

constexpr Operation operations[] = {Operation::conv, Operation::input_gradient, Operation::weight_gradient};

}  // namespace

TEST_CASE("every operation gives the reference's bits, for all kernel sets and thread counts") {
    for (const ConvProblem& problem : {upsampling(), reflecting()}) {
        const Call call(problem);
        for (const Operation operation : operations) {
            Options options;
            options.algorithm = Algorithm::reference;
            std::vector<float> expected(call.result_like(operation).size(), -1.0f), result(expected);
            REQUIRE(call.run(operation, expected, options));
            options.work_per_thread = 0;
            for (const KernelSet* set : usable_kernel_sets()) {
                REQUIRE(set_isa(set->name));
                for (const int threads : {1, 2, 7}) {
                    options.algorithm = threads % 2 ? Algorithm::automatic : Algorithm::im2col;
                    options.threads = threads;
                    std::fill(result.begin(), result.end(), std::numeric_limits<float>::quiet_NaN());
                    REQUIRE(call.run(operation, result, options));
                    CHECK(same_bits(result, expected));
                }
            }
            REQUIRE(set_isa("auto"));
        }
    }
}

TEST_CASE("phases hold every tap and every output once, and the pixels that the definition says") {
    ConvShape shape{};
    shape.output = shape.input = {1, 1, 1};
    shape.kernel = shape.stride = shape.dilation = {1, 1, 1};
    for (std::int64_t stride = 1; stride <= 6; ++stride) {
        for (std::int64_t dilation = 1; dilation <= 6; ++dilation) {
            for (const std::int64_t taps : {1, 2, 5, 8}) {
                for (const std::int64_t pad : {0, 1, 7, 40}) {
                    shape.stride[2] = stride, shape.dilation[2] = dilation;
                    shape.kernel[2] = taps, shape.pad_before[2] = pad, shape.input[2] = 11;
                    std::vector<int> taps_seen(std::size_t(taps), 0), outputs_seen(11, 0);
                    for (std::int64_t i = 0; i < phases_with_taps(shape, 2); ++i) {
                        const AxisPhase phase = axis_phase(shape, 2, i);
                        for (std::int64_t t = 0; t < phase.taps; ++t) {
                            const std::int64_t tap = phase.first_tap + t * phase.tap_step;
                            ++taps_seen[std::size_t(tap)];
                            for (std::int64_t o = 0; o < phase.outputs; ++o) {
                                const std::int64_t output = phase.first_output + o * stride;
                                const std::int64_t pixel = o + (phase.taps - 1 - t) * phase.dilation - phase.pad_before;
                                REQUIRE(pixel * stride == output + pad - tap * dilation);
                                outputs_seen[std::size_t(output)] += t == 0;
                            }
                        }
                    }
                    CHECK(std::count(taps_seen.begin(), taps_seen.end(), 1) == taps);
                    CHECK(*std::max_element(outputs_seen.begin(), outputs_seen.end()) <= 1);
                    for (std::int64_t o = 0; o < 11; ++o) {
                        bool reached = false;
                        for (std::int64_t k = 0; k < taps; ++k) reached |= (o + pad - k * dilation) % stride == 0;
                        CHECK(outputs_seen[std::size_t(o)] == reached);
                    }
                    const bool all = std::count(outputs_seen.begin(), outputs_seen.end(), 1) == 11;
                    CHECK(phases_cover_output(shape) == all);
                }
            }
        }
    }
}

TEST_CASE("any allocation of an adjoint may fail, and then nothing is written") {
    for (const ConvProblem& problem : {upsampling(), reflecting()}) {
        const Call call(problem);
        for (const Operation operation : operations) {
            std::vector<float> result(call.result_like(operation).size(), -5.0f);
            const std::vector<float> poison = result;
            Options options;
            options.threads = 3;
            options.work_per_thread = 0;
            int failures = 0;
            for (;; ++failures) {
                REQUIRE(failures < 1000);
                allocations_left = failures;
                const Status status = call.run(operation, result, options);
                allocations_left = std::numeric_limits<long>::max();
                if (status) break;
                CHECK(status.code == StatusCode::out_of_memory);
                CHECK(same_bits(result, poison));
            }
            CHECK(failures > 0);
            CHECK_FALSE(same_bits(result, poison));
        }
    }
}

TEST_CASE("the workspace of every operation is known, bounded, and capped on request") {
    for (ConvProblem problem : {upsampling(), reflecting()}) {
        problem.batch = 50;
        problem.input = {1, 5000, 7000};
        for (const Operation operation : operations) {
            Options options;
            options.threads = 2;
            std::size_t bytes = 0;
            REQUIRE(workspace_bytes(problem, bytes, options, operation));
            CHECK(bytes > 0);
            CHECK(bytes <= 3 * (std::size_t{1} << 20));
            // A limit is met by fewer threads, then by smaller parts.
            options.workspace_limit = bytes * 3 / 4;
            std::size_t used = 0;
            REQUIRE(workspace_bytes(problem, used, options, operation));
            CHECK(used <= options.workspace_limit);
        }
    }
}

TEST_CASE("should_stop ends every operation early") {
    for (ConvProblem problem : {upsampling(), reflecting()}) {
        problem.input = {1, 200, 200};
        problem.in_channels = problem.out_channels = 48;
        problem.batch = 8;
        const Call call(problem);
        for (const Algorithm algorithm : {Algorithm::automatic, Algorithm::reference}) {
            for (const Operation operation : operations) {
                std::vector<float> result(call.result_like(operation).size(), -5.0f);
                Options options;
                options.threads = 1;
                options.algorithm = algorithm;
                options.should_stop = [](void*) { return true; };
                CHECK(call.run(operation, result, options).code == StatusCode::cancelled);
                CHECK(result.back() == -5.0f);
            }
        }
    }
}

TEST_CASE("what transposed problems and gradients refuse") {
    const ConvProblem problem = upsampling();
    float x = 0;
    CHECK(conv(problem, {nullptr, &x}, &x).message == "x is null");
    CHECK(conv(problem, {&x, nullptr}, &x).message == "weight is null");
    CHECK(conv(problem, {&x, &x}, nullptr).message == "y is null");
    CHECK(conv_input_gradient(problem, nullptr, &x, &x).message == "dy is null");
    CHECK(conv_input_gradient(problem, &x, &x, nullptr).message == "dx is null");
    CHECK(conv_weight_gradient(problem, nullptr, &x, &x).message == "x is null");
    CHECK(conv_weight_gradient(problem, &x, nullptr, &x).message == "dy is null");
    CHECK(conv_weight_gradient(problem, &x, &x, nullptr).message == "dweight is null");
    CHECK(conv_weight_gradient(reflecting(), &x, nullptr, &x).message == "dy is null");
    std::int64_t rows = 0, columns = 0;
    CHECK(region_matrix_size(problem, 4, rows, columns).code == StatusCode::invalid_argument);
    ConvProblem wrong = problem;
    wrong.padding_mode = PaddingMode::reflect;
    Extent output{};
    CHECK(output_size(wrong, output).message == "padding_mode must be zeros for a transposed convolution");
    wrong = problem;
    wrong.output_padding = {0, 2, 0};
    CHECK(output_size(wrong, output).code == StatusCode::invalid_argument);
    REQUIRE(output_size(problem, output));
    CHECK(output == Extent{1, 28, 27});
}
