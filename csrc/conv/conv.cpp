// The public entries to convolutions, transposed ones and gradients: each is one task, with the arrays in their places.
#include <flatconv/flatconv.hpp>

#include "conv/byte_conv.hpp"
#include "conv/call.hpp"
#include "conv/status.hpp"

namespace flatconv {
inline namespace v0 {

namespace {

/// The gradient of the input is the transpose of what the problem computes.
Task task_of(const ConvProblem& problem, Operation operation) {
    if (operation == Operation::weight_gradient) return Task::weight_gradient;
    const bool transposed = problem.transposed != (operation == Operation::input_gradient);
    return transposed ? Task::transpose : Task::convolution;
}

Status compute(Operation operation, const ConvProblem& problem, const Inputs& inputs, const Array& result,
               const ArrayNames& names, const Options& options) noexcept {
    return guarded([&]() -> Status {
        const Task task = task_of(problem, operation);
        PlanRequest request;
        ConvArrays arrays;
        if (Status status = describe(task, problem, options, request); !status) return status;
        if (operation != Operation::conv) request.activation = {};
        if (writes_nothing(task, request.shape)) return {};
        if (Status status = describe_arrays(task, inputs, result, nullptr, names, request, arrays); !status) {
            return status;
        }
        std::unique_ptr<ConvPlan> chosen;
        if (Status status = plan(task, request, options, chosen); !status) return status;
        return run(*chosen, arrays, options);
    });
}

}  // namespace

Status output_size(const ConvProblem& problem, Extent& output) noexcept {
    return guarded([&] {
        ConvShape shape;
        Status status = make_shape(problem, shape);
        if (status) output = problem.transposed ? shape.input : shape.output;
        return status;
    });
}

Status conv(const ConvProblem& problem, const Inputs& inputs, const Array& y, const Options& options) noexcept {
    return compute(Operation::conv, problem, inputs, y, {}, options);
}

Status conv_input_gradient(const ConvProblem& problem, const ConstArray& dy, const ConstArray& weight, const Array& dx,
                           const Options& options) noexcept {
    return compute(Operation::input_gradient, problem, {dy, weight, {}, {}}, dx, {"dy", "weight", "dx"}, options);
}

Status conv_weight_gradient(const ConvProblem& problem, const ConstArray& x, const ConstArray& dy, const Array& dweight,
                            const Options& options) noexcept {
    // A transposed convolution reads what the convolution writes.
    if (problem.transposed) {
        return compute(Operation::weight_gradient, problem, {dy, x, {}, {}}, dweight, {"dy", "x", "dweight"}, options);
    }
    return compute(Operation::weight_gradient, problem, {x, dy, {}, {}}, dweight, {"x", "dy", "dweight"}, options);
}

Status workspace_bytes(const ConvProblem& problem, std::size_t& bytes, const Options& options, Operation operation,
                       const Inputs& inputs) noexcept {
    return guarded([&]() -> Status {
        if (operation == Operation::conv_integer || operation == Operation::qlinear_conv) {
            return byte_workspace(problem, operation == Operation::qlinear_conv, options, bytes);
        }
        const Task task = task_of(problem, operation);
        PlanRequest request;
        if (Status status = describe(task, problem, options, request); !status) return status;
        bytes = 0;
        if (writes_nothing(task, request.shape)) return {};
        ConvArrays arrays;
        describe_layouts(task, inputs, {}, nullptr, request, arrays);
        std::unique_ptr<ConvPlan> chosen;
        Status status = plan(task, request, options, chosen);
        if (status) bytes = workspace_of(*chosen);
        return status;
    });
}

}  // namespace v0
}  // namespace flatconv
