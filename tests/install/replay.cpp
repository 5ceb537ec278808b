// Repeats a file of calls through the C++ API: replay_cpp CALLS OUTCOMES.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <cstddef>

#include "calls.h"

namespace {

flatconv::Extent extent(const std::int64_t (&sizes)[3]) { return {sizes[0], sizes[1], sizes[2]}; }

flatconv::ConvProblem problem_of(const call_header& header) {
    flatconv::ConvProblem problem;
    problem.dtype = flatconv::DType(header.dtype);
    problem.spatial_rank = int(header.spatial_rank);
    problem.batch = header.batch;
    problem.in_channels = header.in_channels;
    problem.out_channels = header.out_channels;
    problem.groups = header.groups;
    problem.input = extent(header.input);
    problem.kernel = extent(header.kernel);
    problem.stride = extent(header.stride);
    problem.dilation = extent(header.dilation);
    problem.padding = flatconv::PaddingRule(header.padding);
    problem.pad_before = extent(header.pad_before);
    problem.pad_after = extent(header.pad_after);
    problem.padding_mode = flatconv::PaddingMode(header.padding_mode);
    problem.transposed = header.transposed != 0;
    problem.output_padding = extent(header.output_padding);
    problem.activation = {flatconv::Activation::Kind(header.activation), header.activation_a, header.activation_b};
    return problem;
}

flatconv::Status run_on_bytes(const flatconv::ConvProblem& problem, const call& call,
                              const flatconv::Options& options) {
    const call_header& header = call.header;
    flatconv::ByteInputs inputs;
    inputs.x = call.arrays[0], inputs.weight = call.arrays[1];
    inputs.x_type = flatconv::ByteType(header.x_type), inputs.weight_type = flatconv::ByteType(header.weight_type);
    inputs.x_zero_point = std::int32_t(header.x_zero_point);
    inputs.weight_zero_points = call.arrays[2];
    if (header.operation == CONV_INTEGER) return conv_integer(problem, inputs, call.result, options);
    flatconv::Requantization requantization;
    requantization.x_scale = float(header.x_scale), requantization.y_scale = float(header.y_scale);
    requantization.weight_scales = call.arrays[3], requantization.bias = call.arrays[4];
    requantization.y_zero_point = std::int32_t(header.y_zero_point);
    requantization.y_type = flatconv::ByteType(header.y_type);
    return qlinear_conv(problem, inputs, requantization, call.result, options);
}

flatconv::Status run(const call& call) {
    const flatconv::ConvProblem problem = problem_of(call.header);
    const auto element_bytes = std::size_t(call.header.element_bytes);
    flatconv::Options options;
    options.algorithm = flatconv::Algorithm(call.header.algorithm);
    options.threads = int(call.header.threads);
    options.work_per_thread = 0;
    if (call.header.workspace_limit >= 0) options.workspace_limit = std::size_t(call.header.workspace_limit);
    const auto* const a = call.arrays[0];
    const auto* const b = call.arrays[1];
    const auto *const bias = call.arrays[2], *const residual = call.arrays[3];
    switch (call.header.operation) {
        case CONV: return conv(problem, {a, b, bias, residual}, call.result, options);
        case INPUT_GRADIENT: return conv_input_gradient(problem, a, b, call.result, options);
        case WEIGHT_GRADIENT: return conv_weight_gradient(problem, a, b, call.result, options);
        case IM2COL: return im2col(problem, a, call.result, element_bytes, options);
        case COL2IM: return col2im(problem, a, call.result, options);
        case UNFOLD: return unfold(problem, a, call.result, element_bytes, options);
        case FOLD: return fold(problem, a, call.result, options);
        case CONV_INTEGER:
        case QLINEAR_CONV: return run_on_bytes(problem, call, options);
        default: break;
    }
    flatconv::PackedConv packed;
    if (flatconv::Status status = flatconv::PackedConv::pack(problem, b, bias, packed); !status) return status;
    return packed.run(problem.batch, problem.input, a, call.result, residual, options);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    std::size_t size = 0;
    char* const calls = read_file(argv[1], &size);
    std::FILE* const outcomes = std::fopen(argv[2], "wb");
    if (!outcomes) return 2;
    for (const char* at = calls; at < calls + size;) {
        call call;
        at = read_call(at, &call);
        const flatconv::Status status = run(call);
        write_outcome(outcomes, &call, int(status.code), status.message.c_str());
    }
    std::free(calls);
    return std::fclose(outcomes);
}
