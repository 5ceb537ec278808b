// Convolutions of bytes from C++ and C: the definition, the kernels of every set, the caller's workspace, bad calls.
#include <doctest/doctest.h>
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "capi_calls.hpp"
#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

std::vector<std::uint8_t> random_bytes(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes) byte = std::uint8_t(generator());
    return bytes;
}

/// 2 images of 6 channels, 9 × 10, in 2 groups, to 4 channels; 3 × 2 kernel, stride 2 along the width.
struct Call {
    ConvProblem problem;
    std::vector<std::uint8_t> x = random_bytes(2 * 6 * 9 * 10, 1), weight = random_bytes(4 * 3 * 3 * 2, 2);
    std::vector<std::int32_t> weight_zero_points{0, -128, 127, 5}, bias{10, -200, 3000, 0};
    std::vector<float> weight_scales{0.01f, 0.5f, 0.02f, 0.003f};
    ByteInputs inputs;
    Requantization requantization;
    Extent output{};
    std::size_t size;

    Call() {
        problem.batch = 2, problem.in_channels = 6, problem.out_channels = 4, problem.groups = 2;
        problem.input = {1, 9, 10}, problem.kernel = {1, 3, 2}, problem.stride = {1, 1, 2};
        problem.pad_before = {0, 1, 2}, problem.pad_after = {0, 1, 0};
        inputs.x = x.data(), inputs.weight = weight.data();
        inputs.x_zero_point = 100, inputs.weight_zero_points = weight_zero_points.data();
        requantization.x_scale = 0.5f, requantization.weight_scales = weight_scales.data();
        requantization.y_scale = 3, requantization.y_zero_point = 20, requantization.bias = bias.data();
        REQUIRE(output_size(problem, output));
        size = std::size_t(2 * 4 * output[1] * output[2]);
    }

    std::vector<std::int32_t> sums() const {
        std::vector<std::int32_t> sums;
        for (std::int64_t n = 0; n < 2; ++n) {
            for (std::int64_t o = 0; o < 4; ++o) {
                for (std::int64_t h = 0; h < output[1]; ++h) {
                    for (std::int64_t w = 0; w < output[2]; ++w) sums.push_back(sum(n, o, h, w));
                }
            }
        }
        return sums;
    }

    std::int32_t sum(std::int64_t n, std::int64_t o, std::int64_t h, std::int64_t w) const {
        std::int32_t total = 0;
        for (std::int64_t c = 0; c < 3; ++c) {
            for (std::int64_t kh = 0; kh < 3; ++kh) {
                for (std::int64_t kw = 0; kw < 2; ++kw) {
                    const std::int64_t at_h = h + kh - 1, at_w = 2 * w + kw - 2;
                    if (at_h < 0 || at_h >= 9 || at_w < 0 || at_w >= 10) continue;
                    const int pixel = x[std::size_t(((n * 6 + o / 2 * 3 + c) * 9 + at_h) * 10 + at_w)];
                    const int tap = std::int8_t(weight[std::size_t(((o * 3 + c) * 3 + kh) * 2 + kw)]);
                    total += (pixel - 100) * (tap - weight_zero_points[std::size_t(o)]);
                }
            }
        }
        return total;
    }

    std::vector<std::uint8_t> bytes() const {
        std::vector<std::uint8_t> bytes;
        const std::vector<std::int32_t> all = sums();
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::size_t channel = i / std::size_t(output[1] * output[2]) % 4;
            const float scale = 0.5f * weight_scales[channel] / 3;
            const float number = std::nearbyint(float(all[i] + bias[channel]) * scale) + 20;
            bytes.push_back(std::uint8_t(number < 0 ? 0 : number > 255 ? 255 : number));
        }
        return bytes;
    }

    flatconv_problem in_c() const {
        flatconv_problem c;
        flatconv_problem_init(&c, sizeof(c));
        c.batch = 2, c.in_channels = 6, c.out_channels = 4, c.groups = 2;
        c.input[1] = 9, c.input[2] = 10, c.kernel[1] = 3, c.kernel[2] = 2, c.stride[2] = 2;
        c.pad_before[1] = 1, c.pad_before[2] = 2, c.pad_after[1] = 1;
        return c;
    }

    template <typename Y>
    flatconv_byte_arrays arrays_in_c(Y* y) const {
        flatconv_byte_arrays c;
        flatconv_byte_arrays_init(&c, sizeof(c));
        c.x.data = x.data(), c.weight.data = weight.data(), c.y.data = y;
        c.x_zero_point = 100, c.weight_zero_points.data = weight_zero_points.data();
        return c;
    }
};

}  // namespace

TEST_CASE("convolutions of bytes are those of the definition, from C++ and from C") {
    const Call call;
    std::vector<std::int32_t> sums(call.size);
    std::vector<std::uint8_t> bytes(call.size);
    REQUIRE(conv_integer(call.problem, call.inputs, sums.data()));
    CHECK(sums == call.sums());
    REQUIRE(qlinear_conv(call.problem, call.inputs, call.requantization, bytes.data()));
    CHECK(bytes == call.bytes());

    const flatconv_problem c = call.in_c();
    std::vector<std::int32_t> c_sums(call.size);
    const flatconv_byte_arrays to_sums = call.arrays_in_c(c_sums.data());
    CHECK(Outcome(flatconv_conv_integer(&c, &to_sums, nullptr)) == Outcome(nullptr));
    CHECK(c_sums == sums);
    std::vector<std::uint8_t> c_bytes(call.size);
    const flatconv_byte_arrays to_bytes = call.arrays_in_c(c_bytes.data());
    flatconv_requantization requantization;
    flatconv_requantization_init(&requantization, sizeof(requantization));
    requantization.x_scale = 0.5f, requantization.weight_scales.data = call.weight_scales.data();
    requantization.y_scale = 3, requantization.y_zero_point = 20, requantization.bias.data = call.bias.data();
    CHECK(Outcome(flatconv_qlinear_conv(&c, &to_bytes, &requantization, nullptr)) == Outcome(nullptr));
    CHECK(c_bytes == bytes);
}

TEST_CASE("a convolution of bytes works in the memory that workspace_bytes tells, and reads and writes no more") {
    const Call call;
    for (const Operation operation : {Operation::conv_integer, Operation::qlinear_conv}) {
        Options options;
        options.threads = 2, options.work_per_thread = 0;
        std::size_t needed = 0;
        REQUIRE(workspace_bytes(call.problem, needed, options, operation));
        std::size_t c_needed = 0;
        flatconv_options c_options;
        flatconv_options_init(&c_options, sizeof(c_options));
        c_options.threads = 2, c_options.work_per_thread = 0;
        const flatconv_problem c = call.in_c();
        CHECK(Outcome(flatconv_workspace_bytes(&c, int(operation), &c_needed, &c_options)) == Outcome(nullptr));
        CHECK(c_needed == needed);
        const GuardedMemory<std::uint8_t> x(call.x.size()), weight(call.weight.size());
        ByteInputs inputs = call.inputs;
        inputs.x = x.copy(call.x, call.x.size()), inputs.weight = weight.copy(call.weight, call.weight.size());
        std::vector<std::byte> workspace(needed);
        options.workspace = workspace.data(), options.workspace_bytes = needed;
        if (operation == Operation::conv_integer) {
            std::vector<std::int32_t> sums(call.size);
            CHECK(conv_integer(call.problem, inputs, sums.data(), options));
            CHECK(sums == call.sums());
        } else {
            std::vector<std::uint8_t> bytes(call.size);
            CHECK(qlinear_conv(call.problem, inputs, call.requantization, bytes.data(), options));
            CHECK(bytes == call.bytes());
        }
        options.workspace_bytes = needed / 2;
        CHECK(conv_integer(call.problem, inputs, workspace.data(), options).code == StatusCode::out_of_memory);
    }
}

TEST_CASE("a convolution of bytes refuses what it does not do") {
    const Call call;
    std::vector<std::int32_t> y(call.size, 7);
    const auto refuses = [&](const ConvProblem& problem, const ByteInputs& inputs, const Options& options,
                             const std::string& message) {
        const Status status = conv_integer(problem, inputs, y.data(), options);
        CHECK(status.code == StatusCode::invalid_argument);
        CHECK(status.message.find(message) != std::string::npos);
    };
    ConvProblem problem = call.problem;
    problem.transposed = true;
    refuses(problem, call.inputs, {}, "must not be transposed");
    problem = call.problem, problem.activation.kind = Activation::relu;
    refuses(problem, call.inputs, {}, "no activation");
    problem = call.problem, problem.padding_mode = PaddingMode::reflect;
    refuses(problem, call.inputs, {}, "padding_mode zeros");
    ByteInputs inputs = call.inputs;
    inputs.x_zero_point = 256;
    refuses(call.problem, inputs, {}, "x_zero_point must be a number of uint8, from 0 to 255, got 256");
    inputs = call.inputs, inputs.weight_type = ByteType::uint8;
    refuses(call.problem, inputs, {}, "weight_zero_point[1] must be a number of uint8, from 0 to 255, got -128");
    inputs = call.inputs, inputs.x_type = ByteType(2);
    refuses(call.problem, inputs, {}, "x_type is not one of ByteType: 2");
    inputs = call.inputs, inputs.x = ConstArray();
    refuses(call.problem, inputs, {}, "x is null");
    Options options;
    options.algorithm = Algorithm::direct;
    refuses(call.problem, call.inputs, options, "one algorithm");
    CHECK(y == std::vector<std::int32_t>(call.size, 7));
    Requantization requantization = call.requantization;
    requantization.y_scale = 0;
    const Status status = qlinear_conv(call.problem, call.inputs, requantization, y.data());
    CHECK(status.message == "y_scale must be a positive number, got 0");
}

TEST_CASE("interleave brings bytes into words, every step and number of channels") {
    for (const KernelSet* set : usable_kernel_sets()) {
        const ByteKernels& kernels = set->bytes;
        CAPTURE(set->name);
        const auto bytes = random_bytes(4096, 3);
        const int bits = 32 / kernels.group;
        for (int channels = 1; channels <= kernels.group; ++channels) {
            for (const std::ptrdiff_t channel_stride : {1, 500}) {
                for (const std::ptrdiff_t step : {-3, 0, 1, 2, 4, 7}) {
                    for (const int kind : {0, 1, 2, 3}) {
                        const int cols = 67;
                        const bool is_signed = kind & 1;
                        const auto flip = std::uint8_t(kind & 2 ? 0x80 : 0);
                        std::vector<std::uint32_t> words(2 * 70, 5), expected = words;
                        const std::uint8_t* from = bytes.data() + 1000;
                        for (int r = 0; r < 2; ++r) {
                            for (int c = 0; c < cols; ++c) {
                                std::uint32_t word = 0;
                                for (int k = 0; k < channels; ++k) {
                                    const auto byte =
                                        std::uint8_t(from[k * channel_stride + r * 300 + c * step] ^ flip);
                                    const int number = is_signed ? int(std::int8_t(byte)) : int(byte);
                                    const std::uint32_t mask = (1u << bits) - 1;
                                    word |= (std::uint32_t(number) & mask) << (bits * k);
                                }
                                expected[std::size_t(r * 70 + c)] = word;
                            }
                        }
                        kernels.interleave(
                            {from, channel_stride, channels, 300, step, 2, cols, words.data(), 70, flip, is_signed});
                        CAPTURE(channels);
                        CAPTURE(step);
                        REQUIRE(words == expected);
                    }
                }
            }
        }
    }
}

TEST_CASE("the multiply-add of words takes the largest numbers, without saturation") {
    for (const KernelSet* set : usable_kernel_sets()) {
        const ByteKernels& kernels = set->bytes;
        const int group = kernels.group;
        CAPTURE(set->name);
        for (const int weight : {-128, 127}) {
            const std::vector<std::uint8_t> largest(4, 255), weights(4, std::uint8_t(weight));
            std::uint32_t left = 0;
            std::vector<std::uint32_t> right(std::size_t(kernels.words.lanes)), sums(right.size());
            kernels.interleave({weights.data(), 1, group, 0, 0, 1, 1, &left, 0, 0, true});
            kernels.interleave({largest.data(), 1, group, 0, 0, 1, kernels.words.lanes, right.data(), 0, 0, false});
            const std::ptrdiff_t offset = 0;
            const VectorOperand<std::uint32_t> vector{right.data(), &offset};
            kernels.words.multiply(
                {&left, 0, nullptr, &vector, sums.data(), 0, 1, 1, kernels.words.lanes, false, nullptr});
            for (const std::uint32_t sum : sums) CHECK(std::int32_t(sum) == group * 255 * weight);
            CHECK(std::int32_t(kernels.sum(&left, 1)) == group * weight);
        }
    }
}
