// A random convolution with all its operands in random layouts, and what it must come to.
#ifndef FLATCONV_TESTS_RANDOM_CALL_HPP
#define FLATCONV_TESTS_RANDOM_CALL_HPP

#include <memory>

#include "kernel_sets.hpp"
#include "laid_out.hpp"
#include "problems.hpp"

namespace flatconv::tests {

template <typename T>
struct RandomCall {
    explicit RandomCall(unsigned seed, bool transposed = false)
        : random_(seed), problem(random_problem(random_, transposed)) {
        problem.dtype = dtype_of<T>();
        constexpr Activation activations[] = {{},
                                              {Activation::relu},
                                              {Activation::relu6},
                                              {Activation::clip, -0.25, 0.5},
                                              {Activation::clip, 1.5, 1.5},
                                              {Activation::clip, -0.0, 0.5},
                                              {Activation::leaky_relu, 0.125},
                                              {Activation::sigmoid},
                                              {Activation::tanh},
                                              {Activation::silu},
                                              {Activation::gelu},
                                              {Activation::hardswish}};
        problem.activation = activations[pick(std::size(activations))];
        REQUIRE(output_size(problem, output));
        const Sizes sizes = sizes_of(problem);
        // Now and then so small that products underflow, to zeros of both signs.
        const double scale = pick(4) == 0 ? (sizeof(T) == 4 ? 1e-23 : 1e-163) : 1;
        auto x_values = numbers(sizes.x, scale);
        const auto weight_values = numbers(sizes.weight, scale);
        if (pick(3) == 0) x_values[pick(x_values.size())] = std::numeric_limits<T>::quiet_NaN();
        if (pick(3) == 0) x_values[pick(x_values.size())] = std::numeric_limits<T>::infinity();
        bias = numbers(sizes.bias, 1);
        for (T& number : bias) {
            if (pick(4) == 0) number = -T(0);
        }
        has_bias = pick(2) == 0;
        const std::int64_t first = transposed ? problem.in_channels : problem.out_channels;
        const std::int64_t second = (transposed ? problem.out_channels : problem.in_channels) / problem.groups;
        weight = std::make_unique<LaidOut<T>>(first, second, problem.kernel, pick_layout(), random_);
        weight->fill(weight_values);
        x = std::make_unique<LaidOut<T>>(problem.batch, problem.in_channels, problem.input, pick_layout(), random_);
        x->fill(x_values);

        ConvProblem plain = problem;
        plain.activation = {};
        Options options;
        options.algorithm = Algorithm::reference;
        options.threads = 1;
        expected.assign(std::size_t(sizes.y), T(0));
        REQUIRE(conv(plain, {x_values.data(), weight_values.data(), bias_array()}, expected.data(), options));
        if (pick(2) == 0) {
            auto values = numbers(sizes.y, 1);
            values[pick(values.size())] = std::numeric_limits<T>::quiet_NaN();
            residual =
                std::make_unique<LaidOut<T>>(problem.batch, problem.out_channels, output, pick_layout(), random_);
            residual->fill(values);
            for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += values[i];
        }
        activate();
    }

    ConstArray bias_array() const { return has_bias ? bias.data() : nullptr; }
    ConstArray residual_array() const { return residual ? residual->to_read() : ConstArray{}; }
    Inputs inputs() const { return {x->to_read(), weight->to_read(), bias_array(), residual_array()}; }

    /// Makes y in a layout, full of NaN; `call(y)` has to give the expected values, and touch nothing else.
    template <typename Call>
    void check(Layout layout, const Call& call) {
        LaidOut<T> y(problem.batch, problem.out_channels, output, layout, random_);
        const Status status = call(y.to_write());
        CAPTURE(int(layout));
        CAPTURE(int(problem.activation.kind));
        REQUIRE_MESSAGE(status, status.message);
        REQUIRE(same_results(y.dense(), expected));
        REQUIRE(y.is_untouched_between());
    }

  private:
    std::mt19937 random_;

  public:
    ConvProblem problem;
    Extent output{};
    bool has_bias;
    std::vector<T> bias;
    std::unique_ptr<LaidOut<T>> x, weight, residual;
    std::vector<T> expected;

  private:
    std::size_t pick(std::size_t count) { return random_() % count; }
    Layout pick_layout() { return all_layouts[pick(3)]; }

    std::vector<T> numbers(std::int64_t count, double scale) {
        auto values = random_numbers<T>(std::size_t(count), unsigned(random_()));
        for (T& value : values) value *= T(scale);
        return values;
    }

    void activate() {
        const Activation& activation = problem.activation;
        if (activation.kind > Activation::clip) return bend();
        for (T& value : expected) {
            if (std::isnan(value) || activation.kind == Activation::none) continue;
            value = activation.kind == Activation::relu    ? std::max(value, T(0))
                    : activation.kind == Activation::relu6 ? std::clamp(value, T(0), T(6))
                                                           : std::clamp(value, T(activation.a), T(activation.b));
        }
    }

    /// By the definition: the reference's convolution with a kernel of 1.
    void bend() {
        ConvProblem finishing;
        finishing.dtype = problem.dtype;
        finishing.input = {1, 1, std::int64_t(expected.size())};
        finishing.activation = problem.activation;
        Options options;
        options.algorithm = Algorithm::reference;
        const T one = 1;
        const std::vector<T> sums = expected;
        REQUIRE(conv(finishing, {sums.data(), &one}, expected.data(), options));
    }
};

}  // namespace flatconv::tests

#endif
