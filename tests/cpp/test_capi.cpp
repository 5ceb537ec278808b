// The C ABI from C++: the same bits and the same messages as the C++ API; structs that grow; what is null.
#include <doctest/doctest.h>
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "capi_calls.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

flatconv_problem c_problem() {
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof(problem));
    problem.batch = 2, problem.groups = 2;
    problem.in_channels = 6, problem.out_channels = 8;
    problem.input[1] = 9, problem.input[2] = 13;
    problem.kernel[1] = 3, problem.kernel[2] = 4;
    problem.stride[1] = 2, problem.dilation[2] = 2;
    problem.pad_before[1] = 1, problem.pad_after[2] = 2;
    problem.padding_mode = FLATCONV_MODE_REFLECT;
    return problem;
}

ConvProblem cpp_problem() {
    ConvProblem problem;
    problem.batch = 2, problem.groups = 2;
    problem.in_channels = 6, problem.out_channels = 8;
    problem.input = {1, 9, 13}, problem.kernel = {1, 3, 4};
    problem.stride = {1, 2, 1}, problem.dilation = {1, 1, 2};
    problem.pad_before = {0, 1, 0}, problem.pad_after = {0, 0, 2};
    problem.padding_mode = PaddingMode::reflect;
    return problem;
}

/// The arrays of that problem, and the C++ API's result.
struct Data {
    Extent output{};
    std::vector<float> x = random_numbers<float>(2 * 6 * 9 * 13, 1);
    std::vector<float> weight = random_numbers<float>(8 * 3 * 3 * 4, 2);
    std::vector<float> bias = random_numbers<float>(8, 3);
    std::vector<float> expected, y;
    flatconv_arrays arrays{};

    Data() {
        REQUIRE(output_size(cpp_problem(), output));
        expected.assign(std::size_t(2 * 8 * output[1] * output[2]), std::numeric_limits<float>::quiet_NaN());
        y = expected;
        REQUIRE(conv(cpp_problem(), {x.data(), weight.data(), bias.data()}, expected.data()));
        arrays.struct_size = sizeof(arrays);
        arrays.x.data = x.data(), arrays.weight.data = weight.data(), arrays.bias.data = bias.data();
        arrays.y.data = y.data();
    }
};

}  // namespace

TEST_CASE("C: convolution has the bits of the C++ API") {
    const flatconv_problem problem = c_problem();
    Data data;
    std::int64_t output[3];
    CHECK(Outcome(flatconv_output_size(&problem, output)) == Outcome(nullptr));
    CHECK(output[1] == data.output[1]);
    CHECK(output[2] == data.output[2]);
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, nullptr)) == Outcome(nullptr));
    CHECK(same_bits(data.y, data.expected));
}

TEST_CASE("C: strided arrays") {
    const flatconv_problem problem = c_problem();
    Data data;
    const std::int64_t channels = 6, rows = 9, columns = 13, bytes = 4;
    std::vector<float> channels_last(data.x.size());
    for (std::int64_t i = 0; i < std::int64_t(data.x.size()); ++i) {
        const std::int64_t pixel = i % (rows * columns), channel = i / (rows * columns) % channels;
        const std::int64_t image = i / (rows * columns * channels);
        channels_last[std::size_t((image * rows * columns + pixel) * channels + channel)] = data.x[std::size_t(i)];
    }
    const std::int64_t strides[5] = {channels * rows * columns * bytes, bytes, 0, channels * columns * bytes,
                                     channels * bytes};
    data.arrays.x = {channels_last.data(), strides};
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, nullptr)) == Outcome(nullptr));
    CHECK(same_bits(data.y, data.expected));
}

TEST_CASE("C: options reach the call") {
    const flatconv_problem problem = c_problem();
    Data data;
    flatconv_options options;
    flatconv_options_init(&options, sizeof(options));
    CHECK(options.workspace_limit == Options().workspace_limit);
    CHECK(options.work_per_thread == Options().work_per_thread);

    Options cpp_options;
    options.threads = cpp_options.threads = 1;
    options.algorithm = FLATCONV_ALGORITHM_IM2COL, cpp_options.algorithm = Algorithm::im2col;
    std::size_t bytes = 0, expected = 0;
    REQUIRE(workspace_bytes(cpp_problem(), expected, cpp_options));
    CHECK(Outcome(flatconv_workspace_bytes(&problem, FLATCONV_OPERATION_CONV, &bytes, &options)) == Outcome(nullptr));
    CHECK(bytes == expected);
    options.workspace_limit = 1;
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, &options)).code == FLATCONV_OUT_OF_MEMORY);

    struct Runs {
        int count = 0, most = 0;
    } runs;
    const flatconv_executor executor = {&runs, [](void*) { return 3; },
                                        [](void* self, int participants, void (*body)(void*, int), void* context) {
                                            Runs& seen = *static_cast<Runs*>(self);
                                            seen.count += 1;
                                            seen.most = std::max(seen.most, participants);
                                            std::vector<std::thread> threads;
                                            for (int i = 0; i < participants; ++i)
                                                threads.emplace_back(body, context, i);
                                            for (std::thread& thread : threads) thread.join();
                                        }};
    flatconv_options_init(&options, sizeof(options));
    options.executor = &executor;
    options.work_per_thread = 0;
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, &options)) == Outcome(nullptr));
    CHECK(same_bits(data.y, data.expected));
    CHECK(runs.count >= 1);
    CHECK(runs.most > 1);
    CHECK(runs.most <= 3);
}

TEST_CASE("C: structs of another size") {
    struct Longer {
        flatconv_problem known;
        std::int64_t unknown;
    } longer;
    std::int64_t output[3];
    flatconv_problem_init(&longer.known, sizeof(longer));
    CHECK(longer.unknown == 0);
    const Outcome refused = flatconv_output_size(&longer.known, output);
    CHECK(refused.code == FLATCONV_INVALID_ARGUMENT);
    CHECK(refused.message.find("problem.struct_size is " + std::to_string(sizeof(Longer))) == 0);

    // A header that ends before pad_after.
    flatconv_problem problem = c_problem();
    problem.struct_size = offsetof(flatconv_problem, pad_after);
    problem.pad_after[0] = -7, problem.pad_after[1] = -7, problem.pad_after[2] = -7;
    ConvProblem unpadded = cpp_problem();
    unpadded.pad_after = {0, 0, 0};
    Extent expected{};
    REQUIRE(output_size(unpadded, expected));
    CHECK(Outcome(flatconv_output_size(&problem, output)) == Outcome(nullptr));
    CHECK(output[2] == expected[2]);

    flatconv_problem blank{};
    CHECK(Outcome(flatconv_output_size(&blank, output)).message.find("problem.struct_size is 0") == 0);
    flatconv_arrays arrays;
    flatconv_arrays_init(&arrays, sizeof(arrays));
    CHECK(arrays.struct_size == sizeof(arrays));
    arrays.struct_size = 0;
    CHECK(Outcome(flatconv_conv(&problem, &arrays, nullptr)).message.find("arrays.struct_size is 0") == 0);
    flatconv_options options{};
    CHECK(Outcome(flatconv_conv(&problem, &arrays, &options)).message.find("options.struct_size is 0") == 0);
}

TEST_CASE("C: the messages of the C++ API, and null arguments") {
    flatconv_problem problem = c_problem();
    ConvProblem same = cpp_problem();
    std::int64_t output[3];
    const auto message_of = [](const ConvProblem& wrong) {
        Extent size{};
        const Status status = output_size(wrong, size);
        CHECK(!status);
        return status.message;
    };
    problem.stride[2] = 0, same.stride[2] = 0;
    CHECK(Outcome(flatconv_output_size(&problem, output)).message == message_of(same));
    problem = c_problem(), same = cpp_problem();
    problem.dtype = 77, same.dtype = DType(77);
    CHECK(Outcome(flatconv_output_size(&problem, output)).message == message_of(same));

    problem = c_problem();
    flatconv_options options;
    flatconv_options_init(&options, sizeof(options));
    Data data;
    options.algorithm = -1;
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, &options)).code == FLATCONV_INVALID_ARGUMENT);
    const flatconv_executor executor{};
    flatconv_options_init(&options, sizeof(options));
    options.executor = &executor;
    CHECK(Outcome(flatconv_conv(&problem, &data.arrays, &options)).message == "options.executor->concurrency is null");

    std::int64_t number = 0;
    flatconv_packed_conv* packed = nullptr;
    CHECK(Outcome(flatconv_output_size(nullptr, output)).message == "problem is null");
    CHECK(Outcome(flatconv_output_size(&problem, nullptr)).message == "output is null");
    CHECK(Outcome(flatconv_conv(&problem, nullptr, nullptr)).message == "arrays is null");
    CHECK(Outcome(flatconv_workspace_bytes(&problem, FLATCONV_OPERATION_CONV, nullptr, nullptr)).message ==
          "bytes is null");
    std::size_t bytes = 0;
    CHECK(Outcome(flatconv_workspace_bytes(&problem, 5, &bytes, nullptr)).message ==
          "operation is not one of FLATCONV_OPERATION_: 5");
    CHECK(Outcome(flatconv_region_matrix_size(&problem, 4, nullptr, &number)).message == "rows is null");
    CHECK(Outcome(flatconv_region_matrix_size(&problem, 4, &number, nullptr)).message == "columns is null");
    const flatconv_const_array weight = data.arrays.weight;
    CHECK(Outcome(flatconv_packed_conv_create(&problem, weight, {}, nullptr, nullptr)).message == "packed is null");
    CHECK(Outcome(flatconv_packed_conv_create(&problem, {}, {}, &packed, nullptr)).message == "weight is null");
    CHECK(Outcome(flatconv_packed_conv_run(nullptr, 1, problem.input, &data.arrays, nullptr)).message ==
          "packed is null");
    CHECK(Outcome(flatconv_get_isa(nullptr)).message == "name is null");
    problem.groups = 0;
    CHECK(Outcome(flatconv_packed_conv_create(&problem, weight, {}, &packed, nullptr)).code ==
          FLATCONV_INVALID_ARGUMENT);
    CHECK(packed == nullptr);
    flatconv_packed_conv_free(nullptr);
    flatconv_status_free(nullptr);
}

TEST_CASE("C: configuration") {
    CHECK(std::string(flatconv_version()) == FLATCONV_VERSION_STRING);
    CHECK(std::string(flatconv_compiler()) == compiler());
    const char* name = nullptr;
    std::int32_t count = 0;
    for (; flatconv_usable_isa(count); ++count) {
        REQUIRE(Outcome(flatconv_set_isa(flatconv_usable_isa(count))) == Outcome(nullptr));
        REQUIRE(Outcome(flatconv_get_isa(&name)) == Outcome(nullptr));
        CHECK(std::string(name) == flatconv_usable_isa(count));
    }
    CHECK(std::size_t(count) == usable_kernel_sets().size());
    CHECK(flatconv_usable_isa(-1) == nullptr);
    CHECK(Outcome(flatconv_set_isa("abacus")).code == FLATCONV_INVALID_ARGUMENT);
    CHECK(Outcome(flatconv_set_isa("auto")) == Outcome(nullptr));

    const std::int32_t before = flatconv_get_num_threads();
    CHECK(Outcome(flatconv_set_num_threads(before + 1)) == Outcome(nullptr));
    CHECK(get_num_threads() == before + 1);
    CHECK(Outcome(flatconv_set_num_threads(-1)).code == FLATCONV_INVALID_ARGUMENT);
    CHECK(Outcome(flatconv_set_num_threads(0)) == Outcome(nullptr));
}
