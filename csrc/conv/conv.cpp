// The public entry: checks the problem, completes the arrays' strides, chooses, runs.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <memory>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/runtime.hpp"
#include "conv/status.hpp"
#include "cpu/dispatch.hpp"
#include "gemm/weights.hpp"

namespace flatconv {
inline namespace v0 {

namespace {

template <typename AnyArray>
AnyArray with_strides(AnyArray array, std::int64_t channels, const Extent& spatial, std::int64_t bytes) {
    if (array.dense) array.byte_strides = dense_strides(channels, spatial, bytes);
    array.dense = false;
    return array;
}

/// What the plan may know of the arrays: not where they are, but how they can be read.
void describe_layout(const ConvProblem& problem, const ConvArrays& arrays, PlanRequest& request) {
    const ConvShape& shape = request.shape;
    const std::int64_t bytes = element_bytes(problem.dtype);
    const ByteStrides& x = arrays.x.byte_strides;
    const WeightSizes sizes = weight_sizes(shape);
    request.weights_in_rows = problem.dtype == DType::float32 ? lies_in_rows<float>(sizes, arrays.weight)
                                                              : lies_in_rows<double>(sizes, arrays.weight);
    request.x_pixels_dense = reinterpret_cast<std::uintptr_t>(arrays.x.data) % std::uintptr_t(bytes) == 0 &&
                             is_dense(shape.input, x, bytes) && x[0] % bytes == 0 && x[1] % bytes == 0;
}

/// Checks everything but the arrays.
Status describe(const ConvProblem& problem, const Options& options, PlanRequest& request) {
    if (Status status = make_shape(problem, request.shape); !status) return status;
    if (Status status = check_threads(options); !status) return status;
    request.kernels = current_kernel_set();
    if (!request.kernels) return unusable_isa();
    request.dtype = problem.dtype;
    request.weights_in_rows = request.x_pixels_dense = true;
    const ConvShape& shape = request.shape;
    const double work = double(shape.batch) * double(shape.groups * shape.out_channels) * double(shape.pixels) *
                        double(std::max<std::int64_t>(shape.depth, 1));
    request.threads = threads_for(options, work);
    request.participants = participants_for(options, request.threads);
    return {};
}

}  // namespace

Status output_size(const ConvProblem& problem, Extent& output) noexcept {
    return guarded([&] {
        ConvShape shape;
        Status status = make_shape(problem, shape);
        if (status) output = shape.output;
        return status;
    });
}

Status conv(const ConvProblem& problem, const ConstArray& x, const ConstArray& weight, const ConstArray& bias,
            const Array& y, const Options& options) noexcept {
    return guarded([&]() -> Status {
        PlanRequest request;
        if (Status status = describe(problem, options, request); !status) return status;
        const ConvShape& shape = request.shape;
        if (shape.empty()) return {};
        if (!y.data) return {StatusCode::invalid_argument, "y is null"};
        if (shape.depth > 0 && !weight.data) return {StatusCode::invalid_argument, "weight is null"};
        const bool reads_x = shape.depth > 0 && shape.input[0] * shape.input[1] * shape.input[2] > 0;
        if (reads_x && !x.data) return {StatusCode::invalid_argument, "x is null"};
        const std::int64_t bytes = element_bytes(problem.dtype);
        ConvArrays arrays{with_strides(x, problem.in_channels, shape.input, bytes),
                          with_strides(weight, shape.in_channels, shape.kernel, bytes), bias,
                          with_strides(y, problem.out_channels, shape.output, bytes)};
        if (bias.dense) arrays.bias.byte_strides = {bytes};
        describe_layout(problem, arrays, request);

        std::unique_ptr<ConvPlan> plan;
        if (Status status = choose(request, options.algorithm, options.workspace_limit, plan); !status) return status;
        const AlignedBuffer workspace(plan->workspace_bytes());
        if (!workspace.data()) return {StatusCode::out_of_memory, "out of memory for the workspace"};
        return with_runtime(options, [&](const Runtime& runtime) { plan->run(arrays, runtime, workspace.data()); });
    });
}

Status workspace_bytes(const ConvProblem& problem, std::size_t& bytes, const Options& options) noexcept {
    return guarded([&]() -> Status {
        PlanRequest request;
        if (Status status = describe(problem, options, request); !status) return status;
        bytes = 0;
        if (request.shape.empty()) return {};
        std::unique_ptr<ConvPlan> plan;
        Status status = choose(request, options.algorithm, options.workspace_limit, plan);
        if (status) bytes = plan->workspace_bytes();
        return status;
    });
}

}  // namespace v0
}  // namespace flatconv
