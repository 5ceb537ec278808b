// Convolutions of bytes: describe, allocate the result, run.
#include "bind/operations.hpp"
#include "bind/results.hpp"

namespace flatconv::bind {

namespace {

ByteType byte_type_of(const char* name, const py::dtype& dtype) {
    switch (dtype.num()) {  // NumPy's numbers of its types: in `dtype_of` is why
        case 1: return ByteType::int8;
        case 2: return ByteType::uint8;
        default: throw py::type_error(std::string(name) + " must be int8 or uint8");
    }
}

/// An array of one number for each output channel, or a single number for all, which is kept in `single`.
template <typename T>
ConstArray per_channel(const char* name, const py::object& given, const ConvProblem& problem, T& single) {
    if (!py::isinstance<py::array>(given)) {
        single = given.cast<T>();
        return {&single, ByteStrides{}};
    }
    if (!py::isinstance<py::array_t<T>>(given)) throw py::type_error(std::string(name) + " has the wrong dtype");
    const auto array = py::reinterpret_borrow<py::array>(given);
    if (array.ndim() != 1 || array.shape(0) != problem.out_channels) {
        throw py::value_error(std::string(name) + " is not one number for each output channel");
    }
    return {array.data(), ByteStrides{array.strides(0)}};
}

}  // namespace

py::array conv_bytes(const py::array& x, const py::array& weight, std::int32_t x_zero_point,
                     const py::object& weight_zero_points, const py::tuple& stride, const py::object& padding,
                     const py::tuple& dilation, std::int64_t groups, bool channels_last,
                     const py::object& requantization, const py::object& out, int threads,
                     std::int64_t workspace_limit) {
    ConvProblem problem = describe({stride, padding, dilation, "zeros"});
    problem.groups = groups;
    describe_x(problem, x, channels_last);
    describe_weight(problem, weight);
    Extent output;
    check(output_size(problem, output));
    if (leading_size(problem, weight, 1) != problem.in_channels / problem.groups) {
        throw py::value_error("weight's channels are not those of a group of x");
    }
    ByteInputs inputs;
    inputs.x = {x.data(), byte_strides(problem, x, channels_last)};
    inputs.weight = {weight.data(), byte_strides(problem, weight)};
    inputs.x_type = byte_type_of("x", x.dtype());
    inputs.weight_type = byte_type_of("weight", weight.dtype());
    inputs.x_zero_point = x_zero_point;
    std::int32_t single_zero_point = 0;
    inputs.weight_zero_points = per_channel("weight_zero_point", weight_zero_points, problem, single_zero_point);
    const std::vector<py::ssize_t> shape = shape_like(problem, x, problem.out_channels, output, channels_last);
    const Options options = options_of(threads, Algorithm::automatic, workspace_limit);
    py::dtype dtype = py::dtype::of<std::int32_t>();
    Requantization to_bytes;
    float single_scale = 0;
    std::int32_t single_bias = 0;
    py::object bias = py::none();
    if (!requantization.is_none()) {
        const auto given = requantization.cast<py::tuple>();
        if (given.size() != 6) throw py::value_error("requantization must have 6 items");
        to_bytes.x_scale = given[0].cast<float>();
        to_bytes.weight_scales = per_channel("weight_scale", given[1], problem, single_scale);
        to_bytes.y_scale = given[2].cast<float>();
        to_bytes.y_zero_point = given[3].cast<std::int32_t>();
        dtype = given[4].cast<py::dtype>();
        to_bytes.y_type = byte_type_of("y_zero_point", dtype);
        bias = given[5];
        if (!bias.is_none()) to_bytes.bias = per_channel("bias", bias, problem, single_bias);
    }
    Result result(out, dtype, shape, {&x, &weight, &bias});
    const Array y(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last));
    run_released(options, [&](const Options& released) {
        return requantization.is_none() ? conv_integer(problem, inputs, y, released)
                                        : qlinear_conv(problem, inputs, to_bytes, y, released);
    });
    return result.finish();
}

}  // namespace flatconv::bind
