// What every call of a convolution does around its plan: describe the problem and the arrays, find memory, run.
#ifndef FLATCONV_CONV_CALL_HPP
#define FLATCONV_CONV_CALL_HPP

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"

namespace flatconv {

/// What is computed with the shape of one convolution, from two of its arrays the third.
enum class Task {
    convolution,      // y from x and weight
    transpose,        // x from y and weight: transposed convolutions, gradients of the input
    weight_gradient,  // weight from x and y
};

/// Checks everything but the arrays, and describes a call with dense and aligned ones.
Status describe(Task task, const ConvProblem& problem, const Options& options, PlanRequest& request);

/// What a task's arrays are called in messages: the two that it reads, and its result.
struct ArrayNames {
    const char* first = "x";
    const char* second = "weight";
    const char* result = "y";
};

/// Whether the task writes nothing.
bool writes_nothing(Task task, const ConvShape& shape);

/// The array with its strides written out, those of a dense one where they are not given.
template <typename AnyArray>
AnyArray with_strides(AnyArray array, std::int64_t channels, const Extent& spatial, std::int64_t bytes) {
    if (array.dense) array.byte_strides = dense_strides(channels, spatial, bytes);
    array.dense = false;
    return array;
}

/// The same of a number for each channel.
template <typename AnyArray>
AnyArray with_strides(AnyArray array, std::int64_t bytes) {
    if (array.dense) array.byte_strides = {bytes};
    array.dense = false;
    return array;
}

/// An error where an array is null that the task reads or writes; `second` may be where it is `packed`.
Status check_no_null(Task task, const ConvShape& shape, const ConstArray& first, const ConstArray& second,
                     const Array& result, bool packed, const ArrayNames& names);

/// Completes what the arrays hold and their strides, and tells the plan how the arrays can be read; null ones count as
/// aligned. Of `inputs`, `x` and `weight` stand for the two arrays that the task reads, in its order.
void describe_layouts(Task task, const Inputs& inputs, const Array& y, const PackedWeights* packed,
                      PlanRequest& request, ConvArrays& arrays);

/// The same for a call, whose arrays must not be null; but `weight` may be where it is packed.
Status describe_arrays(Task task, const Inputs& inputs, const Array& y, const PackedWeights* packed,
                       const ArrayNames& names, PlanRequest& request, ConvArrays& arrays);

/// Whether an array of such a problem may hold that: what the problem says, which float32 stands for, too; of a float32
/// problem also halves.
inline bool can_hold(DType problem, DType stored) noexcept {
    return stored == DType::float32 || stored == problem || (problem == DType::float32 && is_half(stored));
}

/// Where it may not.
Status wrongly_stored(const char* name);

/// `array` with what it holds said outright. `dtype` is that of real numbers.
inline ConstArray with_type(ConstArray array, DType dtype) noexcept {
    if (dtype != DType::float32 || !is_half(array.stored)) array.stored = dtype;
    return array;
}

/// The plan of the task's algorithm that the options name, or the cheapest.
Status plan(Task task, const PlanRequest& request, const Options& options, std::unique_ptr<ConvPlan>& chosen);

/// What the plan needs of a caller's workspace, wherever that begins.
inline std::size_t workspace_of(const ConvPlan& plan) noexcept {
    const std::size_t bytes = plan.workspace_bytes();
    return bytes == 0 ? 0 : bytes + cache_line - 1;
}

/// Runs the plan in the caller's workspace, or in one of its own.
Status run(const ConvPlan& plan, const ConvArrays& arrays, const Options& options);

}  // namespace flatconv

#endif
