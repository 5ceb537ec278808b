// One core call each: describe, allocate the result, run.
#include "bind/adjoints.hpp"

#include "bind/results.hpp"

namespace flatconv::bind {

namespace {

/// The geometry of a convolution, or of a transposed one, that gradients are taken of.
struct GradientGeometry {
    Geometry geometry;
    bool transposed;
    py::tuple output_padding;
    std::int64_t groups;
    bool channels_last;
};

using Shape = std::vector<py::ssize_t>;

std::string text(const Shape& shape) { return bind::text(shape.data(), shape.size()); }

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

Shape sizes_of(const py::tuple& shape) {
    Shape sizes;
    for (const py::handle size : shape) sizes.push_back(size.cast<py::ssize_t>());
    return sizes;
}

/// The shape of an image with its channels before the spatial axes, from one that has them last.
Shape channels_first(Shape shape, bool channels_last, int rank) {
    if (channels_last && shape.size() > std::size_t(rank)) {
        std::rotate(shape.end() - rank - 1, shape.end() - 1, shape.end());
    }
    return shape;
}

/// The other way round.
Shape in_layout(Shape shape, bool channels_last, int rank) {
    if (channels_last && shape.size() > std::size_t(rank)) {
        std::rotate(shape.end() - rank - 1, shape.end() - rank, shape.end());
    }
    return shape;
}

/// The problem of an x and a weight of these shapes: both plain, or weight with two axes before the spatial ones.
ConvProblem problem_of(const GradientGeometry& given, DType dtype, const Shape& x_shape, const Shape& weight) {
    ConvProblem problem = describe(given.geometry);
    problem.dtype = dtype;
    problem.transposed = given.transposed;
    problem.output_padding = spatial_sizes(problem, given.output_padding);
    problem.groups = given.groups;
    const auto rank = std::size_t(problem.spatial_rank);
    const Shape x = channels_first(x_shape, given.channels_last, problem.spatial_rank);
    if (x.size() < rank || x.size() > rank + 2 || weight.size() != (x.size() == rank ? rank : rank + 2)) {
        throw py::value_error("x and weight of shapes " + text(x) + " and " + text(weight) + " do not go together");
    }
    if (x.size() == rank + 2) problem.batch = x[0];
    std::int64_t first = 1, second = 1;
    if (x.size() > rank) {
        problem.in_channels = x[x.size() - rank - 1];
        first = weight[0], second = weight[1];
    }
    if (problem.groups < 1) throw py::value_error("groups must be at least 1, got " + std::to_string(problem.groups));
    if (problem.transposed) {
        if (first != problem.in_channels) throw py::value_error("weight's input channels are not those of x");
        if (__builtin_mul_overflow(second, problem.groups, &problem.out_channels)) {
            throw py::value_error("weight and groups make too many output channels");
        }
    } else {
        problem.out_channels = first;
        if (problem.in_channels % problem.groups != 0 || second != problem.in_channels / problem.groups) {
            throw py::value_error("weight's channels are not those of a group of x");
        }
    }
    problem.input = spatial_sizes(problem, x.data(), py::ssize_t(x.size()));
    problem.kernel = spatial_sizes(problem, weight.data(), py::ssize_t(weight.size()));
    return problem;
}

/// The shape of y that belongs to an x of shape `x`.
Shape y_shape(const ConvProblem& problem, const Shape& x, bool channels_last) {
    Extent output;
    check(output_size(problem, output));
    Shape shape = channels_first(x, channels_last, problem.spatial_rank);
    std::copy(output.end() - problem.spatial_rank, output.end(), shape.end() - problem.spatial_rank);
    const std::size_t leading = shape.size() - std::size_t(problem.spatial_rank);
    if (leading > 0) shape[leading - 1] = problem.out_channels;
    return in_layout(shape, channels_last, problem.spatial_rank);
}

void check_dy(const py::array& dy, const Shape& expected) {
    if (shape_of(dy) == expected) return;
    throw py::value_error("grad_output has shape " + text(shape_of(dy)) + ", but the output has " + text(expected));
}

py::array conv_transpose(const py::array& x, const py::array& weight, const py::object& bias, const py::tuple& stride,
                         const py::object& padding, const py::tuple& output_padding, std::int64_t groups,
                         const py::tuple& dilation, bool channels_last, const py::object& activation,
                         const py::object& residual, const py::object& out, int threads, std::string_view algorithm,
                         std::int64_t workspace_limit) {
    const GradientGeometry geometry{{stride, padding, dilation, "zeros"}, true, output_padding, groups, channels_last};
    const DType dtype = common_dtype(x, {&weight, &bias, &residual});
    ConvProblem problem = problem_of(geometry, dtype, shape_of(x), shape_of(weight));
    problem.activation = activation_of(activation);
    const Shape shape = y_shape(problem, shape_of(x), channels_last);
    const Inputs inputs{readable(problem, "x", x, byte_strides(problem, x, channels_last)),
                        readable(problem, "weight", weight, byte_strides(problem, weight)), bias_of(problem, bias),
                        residual_of(problem, residual, shape, channels_last)};
    Result result(out, result_dtype(dtype, x), shape, {&x, &weight, &bias, &residual});
    const Array y(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last));
    run_released(options_of(threads, algorithm_of(algorithm), workspace_limit),
                 [&](const Options& released) { return flatconv::conv(problem, inputs, y, released); });
    return result.finish();
}

py::array conv_input_gradient(const py::tuple& x_shape, const py::array& weight, const py::array& dy,
                              const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                              std::int64_t groups, std::string_view padding_mode, bool transposed,
                              const py::tuple& output_padding, bool channels_last, const py::object& out, int threads,
                              std::string_view algorithm, std::int64_t workspace_limit) {
    const GradientGeometry geometry{
        {stride, padding, dilation, padding_mode}, transposed, output_padding, groups, channels_last};
    const Shape shape = sizes_of(x_shape);
    const DType dtype = common_dtype(dy, {&weight});
    const ConvProblem problem = problem_of(geometry, dtype, shape, shape_of(weight));
    check_dy(dy, y_shape(problem, shape, channels_last));
    const ConstArray dy_array = readable(problem, "grad_output", dy, byte_strides(problem, dy, channels_last));
    const ConstArray weight_array = readable(problem, "weight", weight, byte_strides(problem, weight));
    Result result(out, result_dtype(dtype, dy), shape, {&dy, &weight});
    const Array dx(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last));
    run_released(options_of(threads, algorithm_of(algorithm), workspace_limit), [&](const Options& released) {
        return flatconv::conv_input_gradient(problem, dy_array, weight_array, dx, released);
    });
    return result.finish();
}

py::array conv_weight_gradient(const py::array& x, const py::tuple& weight_shape, const py::array& dy,
                               const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                               std::int64_t groups, std::string_view padding_mode, bool transposed,
                               const py::tuple& output_padding, bool channels_last, const py::object& out, int threads,
                               std::string_view algorithm, std::int64_t workspace_limit) {
    const GradientGeometry geometry{
        {stride, padding, dilation, padding_mode}, transposed, output_padding, groups, channels_last};
    const Shape shape = sizes_of(weight_shape);
    const DType dtype = common_dtype(x, {&dy});
    const ConvProblem problem = problem_of(geometry, dtype, shape_of(x), shape);
    check_dy(dy, y_shape(problem, shape_of(x), channels_last));
    const ConstArray x_array = readable(problem, "input", x, byte_strides(problem, x, channels_last));
    const ConstArray dy_array = readable(problem, "grad_output", dy, byte_strides(problem, dy, channels_last));
    Result result(out, result_dtype(dtype, x), shape, {&x, &dy});
    const Array dweight(result.array().mutable_data(), byte_strides(problem, result.array()));
    run_released(options_of(threads, algorithm_of(algorithm), workspace_limit), [&](const Options& released) {
        return flatconv::conv_weight_gradient(problem, x_array, dy_array, dweight, released);
    });
    return result.finish();
}

}  // namespace

void register_adjoints(py::module_& module) {
    module.def("conv_transpose", conv_transpose, py::arg("x"), py::arg("weight"), py::arg("bias").none(true),
               py::arg("stride"), py::arg("padding"), py::arg("output_padding"), py::arg("groups"), py::arg("dilation"),
               py::arg("channels_last"), py::arg("activation").none(true), py::arg("residual").none(true),
               py::arg("out").none(true), py::arg("threads"), py::arg("algorithm"), py::arg("workspace_limit"));
    module.def("conv_input_gradient", conv_input_gradient, py::arg("x_shape"), py::arg("weight"), py::arg("dy"),
               py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("padding_mode"),
               py::arg("transposed"), py::arg("output_padding"), py::arg("channels_last"), py::arg("out").none(true),
               py::arg("threads"), py::arg("algorithm"), py::arg("workspace_limit"));
    module.def("conv_weight_gradient", conv_weight_gradient, py::arg("x"), py::arg("weight_shape"), py::arg("dy"),
               py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("padding_mode"),
               py::arg("transposed"), py::arg("output_padding"), py::arg("channels_last"), py::arg("out").none(true),
               py::arg("threads"), py::arg("algorithm"), py::arg("workspace_limit"));
}

}  // namespace flatconv::bind
