// Structs of C to structs of C++ and back. What the values mean is checked behind the C++ API, as for its own callers.
#include "capi/convert.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace flatconv::capi {

namespace {

// Values pass as they are; of each enumeration the last one is compared.
static_assert(FLATCONV_CANCELLED == int(StatusCode::cancelled));
static_assert(FLATCONV_COMPLEX128 == int(DType::complex128));
static_assert(FLATCONV_PADDING_FULL == int(PaddingRule::full));
static_assert(FLATCONV_MODE_SYMMETRIC == int(PaddingMode::symmetric));
static_assert(FLATCONV_ACTIVATION_HARDSWISH == int(Activation::hardswish));
static_assert(FLATCONV_ALGORITHM_DIRECT == int(Algorithm::direct));
static_assert(FLATCONV_OPERATION_QLINEAR_CONV == int(Operation::qlinear_conv));
static_assert(FLATCONV_UINT8 == int(ByteType::uint8));

template <typename Struct>
Struct defaults();

template <>
flatconv_problem defaults() {
    const ConvProblem problem;
    flatconv_problem c{};
    c.struct_size = sizeof(c);
    c.dtype = std::int32_t(problem.dtype);
    c.spatial_rank = problem.spatial_rank;
    c.batch = problem.batch;
    c.in_channels = problem.in_channels;
    c.out_channels = problem.out_channels;
    c.groups = problem.groups;
    std::copy(problem.input.begin(), problem.input.end(), c.input);
    std::copy(problem.kernel.begin(), problem.kernel.end(), c.kernel);
    std::copy(problem.stride.begin(), problem.stride.end(), c.stride);
    std::copy(problem.dilation.begin(), problem.dilation.end(), c.dilation);
    c.padding = std::int32_t(problem.padding);
    c.padding_mode = std::int32_t(problem.padding_mode);
    std::copy(problem.pad_before.begin(), problem.pad_before.end(), c.pad_before);
    std::copy(problem.pad_after.begin(), problem.pad_after.end(), c.pad_after);
    c.activation = {problem.activation.kind, problem.activation.a, problem.activation.b};
    c.transposed = problem.transposed;
    std::copy(problem.output_padding.begin(), problem.output_padding.end(), c.output_padding);
    return c;
}

template <>
flatconv_arrays defaults() {
    return {};
}

template <>
flatconv_byte_arrays defaults() {
    const ByteInputs inputs;
    flatconv_byte_arrays c{};
    c.x_type = std::int32_t(inputs.x_type);
    c.weight_type = std::int32_t(inputs.weight_type);
    c.x_zero_point = inputs.x_zero_point;
    return c;
}

template <>
flatconv_requantization defaults() {
    const Requantization requantization;
    flatconv_requantization c{};
    c.x_scale = requantization.x_scale;
    c.y_scale = requantization.y_scale;
    c.y_zero_point = requantization.y_zero_point;
    c.y_type = std::int32_t(requantization.y_type);
    return c;
}

template <>
flatconv_options defaults() {
    const Options options;
    flatconv_options c{};
    c.struct_size = sizeof(c);
    c.threads = options.threads;
    c.algorithm = std::int32_t(options.algorithm);
    c.workspace_limit = options.workspace_limit;
    c.work_per_thread = options.work_per_thread;
    return c;
}

template <typename Struct>
void write(Struct* target, std::size_t struct_size) noexcept {
    Struct values = defaults<Struct>();
    values.struct_size = struct_size;
    const std::size_t known = std::min(struct_size, sizeof(Struct));
    std::memset(target, 0, struct_size);
    std::memcpy(static_cast<void*>(target), &values, known);
}

/// `values` becomes the caller's struct, as far as that goes, and defaults for the rest.
template <typename Struct>
Status read(const Struct* c, const char* name, Struct& values) {
    if (!c) return {StatusCode::invalid_argument, std::string(name) + " is null"};
    std::size_t size = 0;
    std::memcpy(&size, c, sizeof(size));
    if (size < sizeof(size) || size > sizeof(Struct)) {
        return {StatusCode::invalid_argument, std::string(name) + ".struct_size is " + std::to_string(size) +
                                                  ", but the library's struct has " + std::to_string(sizeof(Struct)) +
                                                  " bytes: it was not initialized, or comes from a newer header"};
    }
    values = defaults<Struct>();
    std::memcpy(static_cast<void*>(&values), c, size);
    return {};
}

ByteStrides strides(const std::int64_t* values) {
    ByteStrides strides{};
    std::copy_n(values, strides.size(), strides.begin());
    return strides;
}

}  // namespace

Status CallOptions::read(const flatconv_options* c_options) {
    if (!c_options) return {};
    flatconv_options c;
    if (Status status = capi::read(c_options, "options", c); !status) return status;
    if (c.algorithm < FLATCONV_ALGORITHM_AUTOMATIC || c.algorithm > FLATCONV_ALGORITHM_DIRECT) {
        return {StatusCode::invalid_argument,
                "options.algorithm is not one of FLATCONV_ALGORITHM_: " + std::to_string(c.algorithm)};
    }
    options_.algorithm = Algorithm(c.algorithm);
    options_.threads = c.threads;
    options_.workspace_limit = c.workspace_limit;
    options_.work_per_thread = c.work_per_thread;
    options_.should_stop = c.should_stop;
    options_.stop_context = c.stop_context;
    options_.workspace = c.workspace;
    options_.workspace_bytes = c.workspace_bytes;
    if (c.executor) {
        if (!c.executor->concurrency) return {StatusCode::invalid_argument, "options.executor->concurrency is null"};
        if (!c.executor->run) return {StatusCode::invalid_argument, "options.executor->run is null"};
        executor_.set(*c.executor);
        options_.executor = &executor_;
    }
    return {};
}

Status read_problem(const flatconv_problem* c_problem, ConvProblem& problem) {
    flatconv_problem c;
    if (Status status = read(c_problem, "problem", c); !status) return status;
    problem.dtype = DType(c.dtype);
    problem.spatial_rank = c.spatial_rank;
    problem.batch = c.batch;
    problem.in_channels = c.in_channels;
    problem.out_channels = c.out_channels;
    problem.groups = c.groups;
    problem.input = extent(c.input);
    problem.kernel = extent(c.kernel);
    problem.stride = extent(c.stride);
    problem.dilation = extent(c.dilation);
    problem.padding = PaddingRule(c.padding);
    problem.padding_mode = PaddingMode(c.padding_mode);
    problem.pad_before = extent(c.pad_before);
    problem.pad_after = extent(c.pad_after);
    problem.activation = {Activation::Kind(c.activation.kind), c.activation.a, c.activation.b};
    problem.transposed = c.transposed != 0;
    problem.output_padding = extent(c.output_padding);
    return {};
}

Status read_operation(std::int32_t c_operation, Operation& operation) {
    if (c_operation < FLATCONV_OPERATION_CONV || c_operation > FLATCONV_OPERATION_QLINEAR_CONV) {
        return {StatusCode::invalid_argument,
                "operation is not one of FLATCONV_OPERATION_: " + std::to_string(c_operation)};
    }
    operation = Operation(c_operation);
    return {};
}

Status read_arrays(const flatconv_arrays* c_arrays, flatconv_arrays& arrays) {
    return read(c_arrays, "arrays", arrays);
}

Status read_strides(const flatconv_arrays* c_arrays, flatconv_arrays& arrays) {
    if (c_arrays) return read_arrays(c_arrays, arrays);
    write_defaults(&arrays, sizeof(arrays));
    return {};
}

Status read_byte_arrays(const flatconv_byte_arrays* c_arrays, ByteInputs& inputs, Array& y) {
    flatconv_byte_arrays c;
    if (Status status = read(c_arrays, "arrays", c); !status) return status;
    inputs = {array(c.x),         array(c.weight),
              ByteType(c.x_type), ByteType(c.weight_type),
              c.x_zero_point,     array(c.weight_zero_points)};
    y = array(c.y);
    return {};
}

Status read_requantization(const flatconv_requantization* c_requantization, Requantization& requantization) {
    flatconv_requantization c;
    if (Status status = read(c_requantization, "requantization", c); !status) return status;
    requantization = {c.x_scale, array(c.weight_scales), c.y_scale, c.y_zero_point, ByteType(c.y_type), array(c.bias)};
    return {};
}

Extent extent(const std::int64_t* sizes) noexcept { return {sizes[0], sizes[1], sizes[2]}; }

ConstArray array(const flatconv_const_array& c) noexcept {
    return c.byte_strides ? ConstArray(c.data, strides(c.byte_strides)) : ConstArray(c.data);
}

Array array(const flatconv_array& c) noexcept {
    return c.byte_strides ? Array(c.data, strides(c.byte_strides)) : Array(c.data);
}

void write_defaults(flatconv_problem* problem, std::size_t struct_size) noexcept { write(problem, struct_size); }

void write_defaults(flatconv_arrays* arrays, std::size_t struct_size) noexcept { write(arrays, struct_size); }

void write_defaults(flatconv_byte_arrays* arrays, std::size_t struct_size) noexcept { write(arrays, struct_size); }

void write_defaults(flatconv_requantization* requantization, std::size_t struct_size) noexcept {
    write(requantization, struct_size);
}

void write_defaults(flatconv_options* options, std::size_t struct_size) noexcept { write(options, struct_size); }

}  // namespace flatconv::capi
