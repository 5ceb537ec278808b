// Describes problems and arrays, and finds memory.
#include "conv/call.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/aligned_buffer.hpp"
#include "conv/added_halves.hpp"
#include "conv/complex_weights.hpp"
#include "conv/transposed.hpp"
#include "conv/weight_gradient.hpp"
#include "cpu/dispatch.hpp"

namespace flatconv {

namespace {

/// The sizes of an array.
struct Sizes {
    std::int64_t first;
    std::int64_t channels;
    Extent spatial;

    bool empty() const { return first == 0 || channels == 0 || spatial[0] == 0 || spatial[1] == 0 || spatial[2] == 0; }
};

/// Those of a task's arrays, in its order.
struct TaskSizes {
    Sizes first{}, second{}, result{};

    TaskSizes(Task task, const ConvShape& shape) {
        const Sizes x{shape.batch, shape.groups * shape.in_channels, shape.input};
        const Sizes weight{shape.groups * shape.out_channels, shape.in_channels, shape.kernel};
        const Sizes y{shape.batch, shape.groups * shape.out_channels, shape.output};
        switch (task) {
            case Task::convolution: first = x, second = weight, result = y; break;
            case Task::transpose: first = y, second = weight, result = x; break;
            case Task::weight_gradient: first = x, second = y, result = weight; break;
        }
    }
};

ConstArray completed(const ConstArray& array, const Sizes& sizes, const PlanRequest& request) {
    const ConstArray typed = with_type(array, request.dtype);
    const std::int64_t parts = request.shape.parts;
    return with_strides(typed, sizes.channels / parts, sizes.spatial, parts * element_bytes(typed.stored));
}

/// Whether all elements of an array are aligned, and whole elements apart. `bytes` is a power of two.
bool is_aligned(const void* data, const ByteStrides& strides, std::int64_t bytes) {
    auto bits = reinterpret_cast<std::uintptr_t>(data);
    for (const std::int64_t stride : strides) bits |= std::uintptr_t(stride);
    return (bits & std::uintptr_t(bytes - 1)) == 0;
}

/// What the plan may know of the arrays: not where they are, but how they can be read.
void describe_layout(const TaskSizes& sizes, const ConvArrays& arrays, PlanRequest& request) {
    const bool x_halves = is_half(arrays.x.stored), y_halves = is_half(request.dtype);
    request.x_dtype = arrays.x.stored;
    request.weight_dtype = arrays.packed && arrays.packed->pairs ? DType::bfloat16 : arrays.weight.stored;
    request.adds_halves = arrays.residual.data && !y_halves && is_half(arrays.residual.stored);
    if (arrays.packed) request.weights = WeightForm::packed;
    const auto innermost = [](const ByteStrides& strides) { return std::abs(strides[1]) < std::abs(strides[4]); };
    request.channels_innermost = innermost(arrays.x.byte_strides) && innermost(arrays.y.byte_strides);
    request.x_halves_dense = x_halves && is_dense(sizes.first.spatial, arrays.x.byte_strides, half_bytes);
    request.y_halves_dense = y_halves && is_dense(sizes.result.spatial, arrays.y.byte_strides, half_bytes);
    const std::int64_t bytes = element_bytes(request.dtype);
    const bool real = request.shape.parts == 1;
    if (!arrays.packed && !real) {
        const WeightSizes weights = complex_weight_sizes(request.shape);
        const auto in_rows =
            computes_in_float(request.dtype) ? lies_in_complex_rows<float> : lies_in_complex_rows<double>;
        request.weights = in_rows(weights, arrays.weight) ? WeightForm::rows : WeightForm::strided;
    } else if (!arrays.packed) {
        const WeightSizes weights = weight_sizes(request.shape);
        const bool in_rows = arrays.weight.stored == DType::float32   ? lies_in_rows<float>(weights, arrays.weight)
                             : arrays.weight.stored == DType::float64 ? lies_in_rows<double>(weights, arrays.weight)
                                                                      : false;
        request.weights = in_rows ? WeightForm::rows : WeightForm::strided;
    }
    const ByteStrides& x = arrays.x.byte_strides;
    request.x_aligned = !x_halves && is_aligned(arrays.x.data, x, bytes);
    request.x_pixels_dense = real && request.x_aligned && is_dense(sizes.first.spatial, x, bytes);
    const auto has_dense_channels = [&](const void* data, const ByteStrides& strides) {
        return is_aligned(data, strides, bytes) && strides[1] == bytes;
    };
    // Halves that are added to floats are not the plan's.
    const bool adds = arrays.residual.data && !request.adds_halves;
    request.channels_dense = real && !x_halves && !y_halves && request.channels_innermost &&
                             has_dense_channels(arrays.x.data, x) &&
                             has_dense_channels(arrays.y.data, arrays.y.byte_strides) &&
                             (!adds || has_dense_channels(arrays.residual.data, arrays.residual.byte_strides));
    const auto in_pixel_rows = [&](const void* data, const ByteStrides& strides) {
        return is_aligned(data, strides, bytes) && is_dense(sizes.result.spatial, strides, bytes);
    };
    request.y_in_rows = real && !y_halves && in_pixel_rows(arrays.y.data, arrays.y.byte_strides) &&
                        (!adds || in_pixel_rows(arrays.residual.data, arrays.residual.byte_strides));
}

/// The first cache line in a piece of memory, or null if fewer than `wanted` bytes follow it. For nothing, any place is
/// as good.
std::byte* align(void* memory, std::size_t bytes, std::size_t wanted) {
    if (wanted == 0) return static_cast<std::byte*>(memory);
    const auto start = reinterpret_cast<std::uintptr_t>(memory);
    const std::size_t skipped = (cache_line - start % cache_line) % cache_line;
    return skipped <= bytes && wanted <= bytes - skipped ? static_cast<std::byte*>(memory) + skipped : nullptr;
}

/// What a convolution comes to in multiply-adds at their peak: where there are few for each element of its arrays, to
/// read and write these is what takes the time.
double work_of(const ConvShape& shape) {
    constexpr double element = 6;  // about what one from the second-level cache takes
    const double outputs = double(shape.groups * shape.out_channels), depth = double(shape.depth);
    const double pixels = double(shape.batch) * double(shape.pixels);
    const double input = double(shape.input[0]) * double(shape.input[1]) * double(shape.input[2]);
    const double x = double(shape.batch) * double(shape.groups * shape.in_channels) * input;
    return outputs * pixels * std::max(depth, 1.0) + element * (x + outputs * (pixels + depth));
}

}  // namespace

Status describe(Task task, const ConvProblem& problem, const Options& options, PlanRequest& request) {
    const auto make = task == Task::transpose ? make_adjoint_shape : make_shape;
    if (Status status = make(problem, request.shape); !status) return status;
    if (Status status = check_threads(options); !status) return status;
    request.kernels = current_kernel_set();
    if (!request.kernels) return unusable_isa();
    request.dtype = request.x_dtype = request.weight_dtype = real_dtype(problem.dtype);
    // The transpose of a convolution that multiplies with numbers multiplies with their conjugates, and the other way
    // round.
    request.conjugates = problem.transposed;
    request.activation = problem.activation;
    const bool as_they_lie = !is_half(problem.dtype);
    request.weights = as_they_lie ? WeightForm::rows : WeightForm::strided;
    const ConvShape& shape = request.shape;
    request.x_aligned = as_they_lie;
    request.x_pixels_dense = request.y_in_rows = as_they_lie && shape.parts == 1;
    request.x_halves_dense = request.y_halves_dense = !as_they_lie;
    request.threads = threads_for(options, work_of(shape));
    request.participants = participants_for(options, request.threads);
    return {};
}

bool writes_nothing(Task task, const ConvShape& shape) { return TaskSizes(task, shape).result.empty(); }

void describe_layouts(Task task, const Inputs& inputs, const Array& y, const PackedWeights* packed,
                      PlanRequest& request, ConvArrays& arrays) {
    const TaskSizes sizes(task, request.shape);
    const std::int64_t parts = request.shape.parts;
    const ConstArray bias = with_type(inputs.bias, request.dtype);
    arrays = {
        completed(inputs.x, sizes.first, request),
        completed(inputs.weight, sizes.second, request),
        with_strides(bias, parts * element_bytes(bias.stored)),
        completed(inputs.residual, sizes.result, request),
        with_strides(y, sizes.result.channels / parts, sizes.result.spatial, parts * element_bytes(request.dtype)),
        packed};
    describe_layout(sizes, arrays, request);
}

Status check_no_null(Task task, const ConvShape& shape, const ConstArray& first, const ConstArray& second,
                     const Array& result, bool packed, const ArrayNames& names) {
    const TaskSizes sizes(task, shape);
    const auto null = [](const char* name) {
        return Status{StatusCode::invalid_argument, std::string(name) + " is null"};
    };
    if (!result.data) return null(names.result);
    const bool reads = !sizes.second.empty();
    if (reads && !second.data && !packed) return null(names.second);
    if (reads && !sizes.first.empty() && !first.data) return null(names.first);
    return {};
}

Status describe_arrays(Task task, const Inputs& inputs, const Array& y, const PackedWeights* packed,
                       const ArrayNames& names, PlanRequest& request, ConvArrays& arrays) {
    const Status present = check_no_null(task, request.shape, inputs.x, inputs.weight, y, packed, names);
    if (!present) return present;
    const auto checked = [&](const ConstArray& array, const char* name) {
        const DType dtype = request.shape.parts == 1 ? request.dtype : DType::complex64;
        return can_hold(dtype, array.stored) ? Status{} : wrongly_stored(name);
    };
    if (Status status = checked(inputs.x, names.first); !status) return status;
    if (Status status = checked(inputs.weight, names.second); !status) return status;
    if (Status status = checked(inputs.bias, "bias"); !status) return status;
    if (Status status = checked(inputs.residual, "residual"); !status) return status;
    describe_layouts(task, inputs, y, packed, request, arrays);
    return {};
}

Status wrongly_stored(const char* name) {
    return {StatusCode::invalid_argument,
            std::string(name) + " is stored as halves, which only a float32 problem reads"};
}

Status plan(Task task, const PlanRequest& request, const Options& options, std::unique_ptr<ConvPlan>& chosen) {
    // The definition adds whatever the residual holds.
    if (request.adds_halves && options.algorithm != Algorithm::reference) {
        PlanRequest bare = request;
        bare.adds_halves = false;
        bare.activation = {};
        std::unique_ptr<ConvPlan> sums;
        if (Status status = plan(task, bare, options, sums); !status) return status;
        const Sizes y = TaskSizes(task, request.shape).result;
        chosen = plan_added_halves(request, {y.first, y.channels, y.spatial}, std::move(sums));
        return {};
    }
    const auto way = task == Task::convolution ? choose
                     : task == Task::transpose ? plan_transposed
                                               : plan_weight_gradient;
    // Packed weights are real ones already.
    const bool real = request.shape.parts == 1 || request.weights == WeightForm::packed;
    if (real) return way(request, options.algorithm, options.workspace_limit, chosen);
    const auto complex_way = task == Task::weight_gradient ? plan_complex_weight_gradient : plan_complex_weights;
    return complex_way(way, request, options.algorithm, options.workspace_limit, chosen);
}

Status run(const ConvPlan& plan, const ConvArrays& arrays, const Options& options) {
    const std::size_t needed = plan.workspace_bytes();
    const auto run_in = [&](std::byte* workspace) {
        return with_runtime(options, [&](const Runtime& runtime) { plan.run(arrays, runtime, workspace); });
    };
    if (options.workspace) {
        std::byte* const workspace = align(options.workspace, options.workspace_bytes, needed);
        if (workspace) return run_in(workspace);
        return {StatusCode::out_of_memory, "workspace of " + std::to_string(options.workspace_bytes) +
                                               " bytes is too small: this convolution needs " +
                                               std::to_string(workspace_of(plan))};
    }
    // Of the smallest calls, an allocation would be a good part.
    constexpr std::size_t little = 1024;
    if (needed <= little) {
        // Zeros, because lanes that nobody wants compute too, and slowly if what they find are subnormals.
        alignas(cache_line) std::byte workspace[little]{};
        return run_in(workspace);
    }
    const AlignedBuffer workspace(needed);
    if (!workspace.data()) return {StatusCode::out_of_memory, "out of memory for the workspace"};
    return run_in(workspace.data());
}

}  // namespace flatconv
