// Every operation of the C ABI: on random problems the bits of the C++ API; packed layers; the caller's workspace.
#include <doctest/doctest.h>
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "allocations.hpp"
#include "capi_calls.hpp"
#include "kernel_sets.hpp"
#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

flatconv_problem in_c(const ConvProblem& problem) {
    flatconv_problem c;
    flatconv_problem_init(&c, sizeof(c));
    c.dtype = int(problem.dtype), c.spatial_rank = problem.spatial_rank;
    c.batch = problem.batch, c.groups = problem.groups;
    c.in_channels = problem.in_channels, c.out_channels = problem.out_channels;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        c.input[axis] = problem.input[axis], c.kernel[axis] = problem.kernel[axis];
        c.stride[axis] = problem.stride[axis], c.dilation[axis] = problem.dilation[axis];
        c.pad_before[axis] = problem.pad_before[axis], c.pad_after[axis] = problem.pad_after[axis];
        c.output_padding[axis] = problem.output_padding[axis];
    }
    c.padding_mode = int(problem.padding_mode);
    c.activation = {problem.activation.kind, problem.activation.a, problem.activation.b};
    c.transposed = problem.transposed;
    return c;
}

/// Random arrays of a problem.
template <typename T>
struct Arrays {
    std::vector<T> x, weight, bias, residual;

    explicit Arrays(const ConvProblem& problem) {
        const Sizes sizes = sizes_of(problem);
        x = random_numbers<T>(std::size_t(sizes.x), 1);
        weight = random_numbers<T>(std::size_t(sizes.weight), 2);
        bias = random_numbers<T>(std::size_t(sizes.bias), 3);
        residual = random_numbers<T>(std::size_t(sizes.y), 4);
    }
};

/// Runs an operation by both APIs, each into an array full of NaN.
template <typename T, typename Cpp, typename C>
void compare(std::size_t size, const Cpp& cpp, const C& c) {
    std::vector<T> expected(size, std::numeric_limits<T>::quiet_NaN()), result = expected;
    const Status status = cpp(expected.data());
    REQUIRE_MESSAGE(status, status.message);
    const Outcome outcome = c(result.data());
    REQUIRE_MESSAGE(outcome.code == FLATCONV_OK, outcome.message);
    CHECK(same_bits(result, expected));
    CHECK(std::none_of(result.begin(), result.end(), [](T value) { return std::isnan(value); }));
}

/// A transposed problem, or one with an activation, now and then.
template <typename T>
ConvProblem random_operation(unsigned seed) {
    std::mt19937 random(seed);
    ConvProblem problem = random_problem(random);
    problem.dtype = dtype_of<T>();
    if (seed % 2 == 1) {
        problem.activation = {Activation::clip, -0.5, 1.5};
        return problem;
    }
    ConvProblem transposed = problem;
    transposed.transposed = true;
    transposed.padding_mode = PaddingMode::zeros;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        transposed.output_padding[axis] = std::max(problem.stride[axis], problem.dilation[axis]) - 1;
    }
    Extent output{};
    return output_size(transposed, output) ? transposed : problem;
}

}  // namespace

TEST_CASE_TEMPLATE("C: every operation has the bits of the C++ API", T, float, double) {
    int transposed = 0;
    for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(seed);
        const ConvProblem problem = random_operation<T>(seed);
        transposed += problem.transposed;
        const flatconv_problem c = in_c(problem);
        const Arrays<T> arrays(problem);
        const std::vector<T>&x = arrays.x, &weight = arrays.weight, &bias = arrays.bias, &y = arrays.residual;
        Extent output{};
        std::int64_t c_output[3] = {};
        REQUIRE(output_size(problem, output));
        CHECK(Outcome(flatconv_output_size(&c, c_output)) == Outcome(nullptr));
        CHECK(std::equal(output.begin(), output.end(), c_output));

        const auto conv_by_c = [&](const flatconv_const_array& residual) {
            return [&, residual](T* to) {
                flatconv_arrays given;
                flatconv_arrays_init(&given, sizeof(given));
                given.x.data = x.data(), given.weight.data = weight.data(), given.bias.data = bias.data();
                given.y.data = to;
                given.residual = residual;
                return Outcome(flatconv_conv(&c, &given, nullptr));
            };
        };
        compare<T>(
            y.size(), [&](T* to) { return conv(problem, {x.data(), weight.data(), bias.data()}, to); }, conv_by_c({}));
        if (!problem.transposed) {
            compare<T>(
                y.size(), [&](T* to) { return conv(problem, {x.data(), weight.data(), bias.data(), y.data()}, to); },
                conv_by_c({y.data(), nullptr}));
        }
        compare<T>(
            x.size(), [&](T* to) { return conv_input_gradient(problem, y.data(), weight.data(), to); },
            [&](T* to) {
                return Outcome(flatconv_conv_input_gradient(&c, {y.data(), nullptr}, {weight.data(), nullptr},
                                                            {to, nullptr}, nullptr));
            });
        compare<T>(
            weight.size(), [&](T* to) { return conv_weight_gradient(problem, x.data(), y.data(), to); },
            [&](T* to) {
                return Outcome(flatconv_conv_weight_gradient(&c, {x.data(), nullptr}, {y.data(), nullptr},
                                                             {to, nullptr}, nullptr));
            });
        for (const Operation operation : {Operation::conv, Operation::input_gradient, Operation::weight_gradient}) {
            std::size_t expected = 0, bytes = 0;
            REQUIRE(workspace_bytes(problem, expected, {}, operation));
            CHECK(Outcome(flatconv_workspace_bytes(&c, int(operation), &bytes, nullptr)) == Outcome(nullptr));
            CHECK(bytes == expected);
        }
    }
    CHECK(transposed > 3);
}

TEST_CASE_TEMPLATE("C: region matrices and their adjoints have the bits of the C++ API", T, float, double) {
    for (unsigned seed = 1; seed < 20; seed += 2) {
        CAPTURE(seed);
        const ConvProblem problem = random_operation<T>(seed);
        const flatconv_problem c = in_c(problem);
        const Arrays<T> arrays(problem);
        const flatconv_const_array x = {arrays.x.data(), nullptr};
        std::int64_t rows = 0, columns = 0, c_rows = 0, c_columns = 0;
        REQUIRE(region_matrix_size(problem, sizeof(T), rows, columns));
        REQUIRE(Outcome(flatconv_region_matrix_size(&c, sizeof(T), &c_rows, &c_columns)) == Outcome(nullptr));
        CHECK(c_rows == rows);
        CHECK(c_columns == columns);
        const auto size = std::size_t(problem.batch * rows * columns);
        const std::vector<T> regions = random_numbers<T>(size, 5);
        compare<T>(
            size, [&](T* to) { return im2col(problem, x.data, to, sizeof(T)); },
            [&](T* to) { return Outcome(flatconv_im2col(&c, x, to, sizeof(T), nullptr)); });
        compare<T>(
            size, [&](T* to) { return unfold(problem, x.data, to, sizeof(T)); },
            [&](T* to) { return Outcome(flatconv_unfold(&c, x, to, sizeof(T), nullptr)); });
        compare<T>(
            arrays.x.size(), [&](T* to) { return col2im(problem, regions.data(), to); },
            [&](T* to) { return Outcome(flatconv_col2im(&c, regions.data(), {to, nullptr}, nullptr)); });
        compare<T>(
            arrays.x.size(), [&](T* to) { return fold(problem, regions.data(), to); },
            [&](T* to) { return Outcome(flatconv_fold(&c, regions.data(), {to, nullptr}, nullptr)); });
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Packed layers

namespace {

/// A layer packed by both APIs, and what it has to give.
struct Layer {
    ConvProblem problem;
    flatconv_problem c;
    std::vector<float> x, weight, bias, residual, expected;
    PackedConv cpp;
    flatconv_packed_conv* packed = nullptr;

    Layer() {
        problem.batch = 2, problem.in_channels = 20, problem.out_channels = 37;
        problem.input = {1, 19, 23}, problem.kernel = {1, 5, 3};
        problem.pad_before = {0, 2, 1}, problem.pad_after = {0, 2, 1};
        problem.activation.kind = Activation::relu;
        c = in_c(problem);
        const Arrays<float> arrays(problem);
        x = arrays.x, weight = arrays.weight, bias = arrays.bias, residual = arrays.residual;
        expected.resize(residual.size());
        REQUIRE(conv(problem, {x.data(), weight.data(), bias.data(), residual.data()}, expected.data()));
        REQUIRE(PackedConv::pack(problem, weight.data(), bias.data(), cpp));
        std::vector<float> weight_to_go = weight, bias_to_go = bias;
        REQUIRE(Outcome(flatconv_packed_conv_create(&c, {weight_to_go.data(), nullptr}, {bias_to_go.data(), nullptr},
                                                    &packed, nullptr)) == Outcome(nullptr));
    }
    ~Layer() { flatconv_packed_conv_free(packed); }
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;

    flatconv_arrays arrays(std::vector<float>& y) const {
        flatconv_arrays given;
        flatconv_arrays_init(&given, sizeof(given));
        given.x.data = x.data(), given.residual.data = residual.data();
        given.y.data = y.data();
        return given;
    }
    std::size_t bytes(const flatconv_options& options) const {
        std::size_t needed = 0;
        const Outcome outcome(
            flatconv_packed_conv_workspace_bytes(packed, c.batch, c.input, nullptr, &needed, &options));
        REQUIRE_MESSAGE(outcome.code == FLATCONV_OK, outcome.message);
        return needed;
    }
};

flatconv_options options_for(Algorithm algorithm, int threads) {
    flatconv_options options;
    flatconv_options_init(&options, sizeof(options));
    options.algorithm = int(algorithm);
    options.threads = threads;
    options.work_per_thread = 0;
    return options;
}

}  // namespace

TEST_CASE("C: a packed layer has the bits of a convolution, and explains itself as the C++ API does") {
    const Layer layer;
    std::vector<float> y(layer.expected.size(), std::numeric_limits<float>::quiet_NaN());
    const flatconv_arrays arrays = layer.arrays(y);
    CHECK(Outcome(flatconv_packed_conv_run(layer.packed, layer.c.batch, layer.c.input, &arrays, nullptr)) ==
          Outcome(nullptr));
    CHECK(same_bits(y, layer.expected));

    // The first image alone: another shape.
    std::fill(y.begin(), y.end(), std::numeric_limits<float>::quiet_NaN());
    CHECK(Outcome(flatconv_packed_conv_run(layer.packed, 1, layer.c.input, &arrays, nullptr)) == Outcome(nullptr));
    const auto half = std::ptrdiff_t(y.size() / 2);
    CHECK(same_bits(std::vector<float>(y.begin(), y.begin() + half),
                    std::vector<float>(layer.expected.begin(), layer.expected.begin() + half)));
    CHECK(std::all_of(y.begin() + half, y.end(), [](float value) { return std::isnan(value); }));

    std::string expected;
    REQUIRE(layer.cpp.explain(2, layer.problem.input, expected));
    std::vector<char> text(expected.size() + 1, 'x');
    std::size_t length = 0;
    for (const std::size_t capacity : {text.size(), std::size_t(10), std::size_t(1)}) {
        CHECK(Outcome(flatconv_packed_conv_explain(layer.packed, 2, layer.c.input, nullptr, text.data(), capacity,
                                                   &length, nullptr)) == Outcome(nullptr));
        CHECK(std::string(text.data()) == expected.substr(0, capacity - 1));
        CHECK(length == expected.size());
    }
    length = 0;
    CHECK(Outcome(flatconv_packed_conv_explain(layer.packed, 2, layer.c.input, nullptr, nullptr, 0, &length,
                                               nullptr)) == Outcome(nullptr));
    CHECK(length == expected.size());
}

TEST_CASE("C: a packed layer is described for the distances that its arrays will have") {
    const Layer layer;
    const auto channels_last = [](std::int64_t channels, std::int64_t height, std::int64_t width) {
        const std::int64_t pixel = channels * std::int64_t(sizeof(float));
        return ByteStrides{height * width * pixel, sizeof(float), 0, width * pixel, pixel};
    };
    const ByteStrides of_x = channels_last(20, 19, 23), of_y = channels_last(37, 19, 23);
    flatconv_arrays arrays;
    flatconv_arrays_init(&arrays, sizeof(arrays));
    arrays.x.byte_strides = of_x.data(), arrays.y.byte_strides = of_y.data();

    std::string expected, dense;
    REQUIRE(layer.cpp.explain(2, layer.problem.input, expected, {}, {nullptr, of_x}, {nullptr, of_y}));
    REQUIRE(layer.cpp.explain(2, layer.problem.input, dense));
    CHECK(expected != dense);
    std::vector<char> text(expected.size() + 1);
    CHECK(Outcome(flatconv_packed_conv_explain(layer.packed, 2, layer.c.input, &arrays, text.data(), text.size(),
                                               nullptr, nullptr)) == Outcome(nullptr));
    CHECK(std::string(text.data()) == expected);

    std::size_t bytes = 0, expected_bytes = 0;
    REQUIRE(layer.cpp.workspace_bytes(2, layer.problem.input, expected_bytes, {}, {nullptr, of_x}, {nullptr, of_y}));
    CHECK(Outcome(flatconv_packed_conv_workspace_bytes(layer.packed, 2, layer.c.input, &arrays, &bytes, nullptr)) ==
          Outcome(nullptr));
    CHECK(bytes == expected_bytes);

    arrays.struct_size = 3;
    CHECK(
        Outcome(flatconv_packed_conv_workspace_bytes(layer.packed, 2, layer.c.input, &arrays, &bytes, nullptr)).code ==
        FLATCONV_INVALID_ARGUMENT);
}

TEST_CASE("C: a packed layer with a workspace allocates nothing from the second call on") {
    const Layer layer;
    for (const Algorithm algorithm : all_algorithms) {
        for (const int threads : {1, 2, 3}) {
            CAPTURE(int(algorithm));
            CAPTURE(threads);
            flatconv_options options = options_for(algorithm, threads);
            std::vector<std::byte> memory(layer.bytes(options) + 1);
            options.workspace = memory.data();
            options.workspace_bytes = memory.size();
            std::vector<float> y(layer.expected.size());
            const flatconv_arrays arrays = layer.arrays(y);
            const auto run = [&] {
                return flatconv_packed_conv_run(layer.packed, layer.c.batch, layer.c.input, &arrays, &options);
            };
            REQUIRE(Outcome(run()) == Outcome(nullptr));
            std::fill(y.begin(), y.end(), std::numeric_limits<float>::quiet_NaN());
            REQUIRE(Outcome(with_allocations(0, run)) == Outcome(nullptr));
            CHECK(same_bits(y, layer.expected));
            // The same without a workspace does allocate: the count counts.
            options.workspace = nullptr;
            if (algorithm != Algorithm::reference) {
                CHECK(Outcome(with_allocations(0, run)).code == FLATCONV_OUT_OF_MEMORY);
            }
        }
    }
}

TEST_CASE("C: what packed layers refuse") {
    const Layer layer;
    std::vector<float> y(layer.expected.size(), -5.0f);
    const std::vector<float> before = y;
    flatconv_arrays arrays = layer.arrays(y);
    const auto run = [&](std::int64_t batch, const std::int64_t* input, const flatconv_options* options) {
        return Outcome(flatconv_packed_conv_run(layer.packed, batch, input, &arrays, options));
    };
    flatconv_options options = options_for(Algorithm::channels, 2);
    std::vector<std::byte> memory(layer.bytes(options));
    options.workspace = memory.data();
    options.workspace_bytes = 100;
    const Outcome too_small = run(2, layer.c.input, &options);
    CHECK(too_small.code == FLATCONV_OUT_OF_MEMORY);
    CHECK(too_small.message.find("workspace of 100 bytes is too small") == 0);
    CHECK(run(2, nullptr, nullptr).message == "input is null");
    CHECK(run(-1, layer.c.input, nullptr).message == "batch must be at least 0, got -1");
    arrays.weight.data = layer.weight.data();
    CHECK(run(2, layer.c.input, nullptr).message ==
          "arrays.weight and arrays.bias must be null: the layer has its own, packed");
    arrays = layer.arrays(y), arrays.x.data = nullptr;
    CHECK(run(2, layer.c.input, nullptr).message == "x is null");
    CHECK(same_bits(y, before));
    CHECK(Outcome(flatconv_packed_conv_workspace_bytes(layer.packed, 2, layer.c.input, nullptr, nullptr, nullptr))
              .message == "bytes is null");
    CHECK(Outcome(flatconv_packed_conv_explain(layer.packed, 2, layer.c.input, nullptr, nullptr, 8, nullptr, nullptr))
              .message == "text is null");
}
