// Residuals, activations and layouts through the public API, and the zeros of which no sum is negative.
#include <doctest/doctest.h>

#include <limits>

#include "random_call.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

TEST_CASE_TEMPLATE("every algorithm reads, finishes and writes alike, wherever the arrays lie", T, float, double) {
    const IsaReset reset;
    for (unsigned seed = 0; seed < 40; ++seed) {
        RandomCall<T> call(seed);
        CAPTURE(seed);
        for (const KernelSet* set : usable_kernel_sets()) {
            REQUIRE(set_isa(set->name));
            CAPTURE(set->name);
            for (const Algorithm algorithm : all_algorithms) {
                CAPTURE(int(algorithm));
                Options options;
                options.algorithm = algorithm;
                options.threads = 1 + int(seed % 3);
                options.work_per_thread = 0;
                for (const Layout layout : all_layouts) {
                    call.check(layout, [&](const Array& y) { return conv(call.problem, call.inputs(), y, options); });
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("no sum is a negative zero, whatever underflows and whatever the bias", T, float, double) {
    const IsaReset reset;
    const T tiny = std::numeric_limits<T>::min();
    ConvProblem problem;
    problem.dtype = dtype_of<T>();
    problem.in_channels = 2, problem.out_channels = 19;
    problem.input = {1, 5, 23};
    problem.kernel = {1, 2, 2};
    const Sizes sizes = sizes_of(problem);
    // Each product underflows to −0, and so does their sum.
    const std::vector<T> x(std::size_t(sizes.x), tiny), weight(std::size_t(sizes.weight), -tiny);
    const std::vector<T> bias(std::size_t(sizes.bias), -T(0)), zeros(std::size_t(sizes.y), T(0));
    const std::vector<T> negative_zeros(std::size_t(sizes.y), -T(0));
    for (const KernelSet* set : usable_kernel_sets()) {
        REQUIRE(set_isa(set->name));
        CAPTURE(set->name);
        for (const Algorithm algorithm : all_algorithms) {
            CAPTURE(int(algorithm));
            Options options;
            options.algorithm = algorithm;
            for (const T* bias_data : {static_cast<const T*>(nullptr), bias.data()}) {
                for (const T* residual : {static_cast<const T*>(nullptr), negative_zeros.data()}) {
                    std::vector<T> y(std::size_t(sizes.y), T(1));
                    REQUIRE(conv(problem, {x.data(), weight.data(), bias_data, residual}, y.data(), options));
                    CHECK(same_bits(y, zeros));
                    PackedConv packed;
                    y.assign(y.size(), T(1));
                    REQUIRE(PackedConv::pack(problem, weight.data(), bias_data, packed));
                    REQUIRE(packed.run(problem.batch, problem.input, x.data(), y.data(), residual, options));
                    CHECK(same_bits(y, zeros));
                }
            }
        }
    }
}

TEST_CASE("activations that mean nothing are errors") {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const float one = 1;
    float y = -5;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const Activation bad[] = {{Activation::Kind(10)},
                              {Activation::Kind(-1)},
                              {Activation::clip, 2, 1},
                              {Activation::clip, nan, 1},
                              {Activation::clip, 0, nan},
                              {Activation::leaky_relu, nan},
                              {Activation::leaky_relu, -infinity}};
    for (const Activation& activation : bad) {
        ConvProblem problem;
        problem.activation = activation;
        const Status status = conv(problem, {&one, &one}, &y);
        CHECK(status.code == StatusCode::invalid_argument);
        CHECK(status.message.find("activation") == 0);
        PackedConv packed;
        CHECK(PackedConv::pack(problem, &one, {}, packed).code == StatusCode::invalid_argument);
        CHECK(y == -5);
    }
    ConvProblem problem;
    problem.activation = {Activation::clip, -3, -3};
    CHECK(conv(problem, {&one, &one}, &y));
    CHECK(y == -3);
}
