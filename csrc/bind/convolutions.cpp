// Convolutions: describe, allocate the result, run.
#include "bind/operations.hpp"
#include "bind/results.hpp"

namespace flatconv::bind {

py::array conv(const py::array& x, const py::array& weight, const py::object& bias, const py::tuple& stride,
               const py::object& padding, const py::tuple& dilation, std::int64_t groups, std::string_view padding_mode,
               bool channels_last, const py::object& activation, const py::object& residual, const py::object& out,
               int threads, std::string_view algorithm, std::int64_t workspace_limit) {
    ConvProblem problem = describe({stride, padding, dilation, padding_mode});
    problem.dtype = common_dtype(x, {&weight, &bias, &residual});
    problem.groups = groups;
    problem.activation = activation_of(activation);
    describe_x(problem, x, channels_last);
    describe_weight(problem, weight);
    const Extent output = output_of(problem, weight);
    const std::vector<py::ssize_t> shape = shape_like(problem, x, problem.out_channels, output, channels_last);
    const Inputs inputs{readable(problem, "x", x, byte_strides(problem, x, channels_last)),
                        readable(problem, "weight", weight, byte_strides(problem, weight)), bias_of(problem, bias),
                        residual_of(problem, residual, shape, channels_last)};
    const Options options = options_of(threads, algorithm_of(algorithm), workspace_limit);
    Result result(out, result_dtype(problem.dtype, x), shape, {&x, &weight, &bias, &residual});
    const Array y(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last));
    run_released(options, [&](const Options& released) { return flatconv::conv(problem, inputs, y, released); });
    return result.finish();
}

PackedLayer::PackedLayer(const py::array& weight, const py::object& bias, const py::tuple& stride,
                         const py::object& padding, const py::tuple& dilation, std::int64_t groups,
                         std::string_view padding_mode, bool transposed, const py::tuple& output_padding,
                         bool channels_last, const py::object& activation, std::string_view algorithm,
                         std::int64_t workspace_limit)
    : channels_last_(channels_last),
      dtype_(result_dtype(common_dtype(weight, {&bias}), weight)),
      algorithm_(algorithm_of(algorithm)),
      workspace_limit_(workspace_limit) {
    ConvProblem problem = describe({stride, padding, dilation, padding_mode});
    problem.dtype = common_dtype(weight, {&bias});
    problem.groups = groups;
    problem.transposed = transposed;
    problem.output_padding = spatial_sizes(problem, output_padding);
    problem.activation = activation_of(activation);
    describe_weight(problem, weight);
    // A transposed convolution reads the channels that the weight of its convolution writes.
    (transposed ? problem.in_channels : problem.out_channels) = leading_size(problem, weight, 2);
    if (__builtin_mul_overflow(leading_size(problem, weight, 1), groups,
                               transposed ? &problem.out_channels : &problem.in_channels)) {
        throw py::value_error("weight and groups make too many channels");
    }
    const ConstArray weights = readable(problem, "weight", weight, byte_strides(problem, weight));
    const ConstArray biases = bias_of(problem, bias);
    run_released(interruptible(0), [&](const Options& released) {
        return PackedConv::pack(problem, weights, biases, packed_, released);
    });
    problem_ = packed_.problem(1, {1, 1, 1});
}

Options PackedLayer::options(int threads) const { return options_of(threads, algorithm_, workspace_limit_); }

py::array PackedLayer::run(const py::array& x, const py::object& residual, const py::object& out, int threads) const {
    ConvProblem problem = problem_;
    const std::int64_t channels = problem.in_channels;
    describe_x(problem, x, channels_last_);
    if (problem.in_channels != channels) throw py::value_error("x's channels are not those of the packed weight");
    Extent output;
    check(output_size(problem, output));
    const std::vector<py::ssize_t> shape = shape_like(problem, x, problem.out_channels, output, channels_last_);
    const ConstArray image = readable(problem, "x", x, byte_strides(problem, x, channels_last_));
    const ConstArray added = residual_of(problem, residual, shape, channels_last_);
    Result result(out, dtype_, shape, {&x, &residual});
    const Array y(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last_));
    run_released(options(threads), [&](const Options& released) {
        return packed_.run(problem.batch, problem.input, image, y, added, released);
    });
    return result.finish();
}

PackedLayer::Layouts PackedLayer::layouts(std::int64_t batch, const Extent& input, const py::dtype& x_dtype) const {
    Layouts arrays;
    arrays.x.stored = stored_as(problem_, "x", dtype_of(x_dtype));
    if (!channels_last_) return arrays;
    const ConvProblem problem = packed_.problem(batch, input);
    Extent output;
    check(output_size(problem, output));
    arrays.x.dense = arrays.y.dense = false;
    arrays.x.byte_strides = channels_last_strides(problem.in_channels, input, x_dtype.itemsize());
    arrays.y.byte_strides = channels_last_strides(problem.out_channels, output, dtype_.itemsize());
    return arrays;
}

std::size_t PackedLayer::workspace_bytes(std::int64_t batch, const py::tuple& input, int threads,
                                         const py::dtype& x_dtype) const {
    std::size_t bytes = 0;
    const Extent sizes = spatial_sizes(problem_, input);
    const Layouts arrays = layouts(batch, sizes, x_dtype);
    check(packed_.workspace_bytes(batch, sizes, bytes, options(threads), arrays.x, arrays.y));
    return bytes;
}

std::string PackedLayer::explain(std::int64_t batch, const py::tuple& input, int threads,
                                 const py::dtype& x_dtype) const {
    std::string explanation;
    const Extent sizes = spatial_sizes(problem_, input);
    const Layouts arrays = layouts(batch, sizes, x_dtype);
    check(packed_.explain(batch, sizes, explanation, options(threads), arrays.x, arrays.y));
    return explanation;
}

}  // namespace flatconv::bind
