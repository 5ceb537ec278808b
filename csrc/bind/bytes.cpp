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

/// An array of one number for each output channel, or a single number for all, which is kept here; None is no array.
template <typename T>
class PerChannel {
  public:
    PerChannel(const char* name, const py::object& given, const ConvProblem& problem) {
        if (given.is_none()) return;
        if (!py::isinstance<py::array>(given)) {
            single_ = given.cast<T>();
            array_ = {&single_, ByteStrides{}};
            return;
        }
        if (!py::isinstance<py::array_t<T>>(given)) throw py::type_error(std::string(name) + " has the wrong dtype");
        const auto array = py::reinterpret_borrow<py::array>(given);
        if (array.ndim() != 1 || array.shape(0) != problem.out_channels) {
            throw py::value_error(std::string(name) + " is not one number for each output channel");
        }
        array_ = {array.data(), ByteStrides{array.strides(0)}};
    }
    PerChannel(const PerChannel&) = delete;
    PerChannel& operator=(const PerChannel&) = delete;

    /// Valid as long as this object and the array that it was made of.
    ConstArray array() const { return array_; }

  private:
    T single_ = 0;
    ConstArray array_;
};

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
    const Extent output = output_of(problem, weight);
    ByteInputs inputs;
    inputs.x = {x.data(), byte_strides(problem, x, channels_last)};
    inputs.weight = {weight.data(), byte_strides(problem, weight)};
    inputs.x_type = byte_type_of("x", x.dtype());
    inputs.weight_type = byte_type_of("weight", weight.dtype());
    inputs.x_zero_point = x_zero_point;
    const PerChannel<std::int32_t> zero_points("weight_zero_point", weight_zero_points, problem);
    inputs.weight_zero_points = zero_points.array();
    const std::vector<py::ssize_t> shape = shape_like(problem, x, problem.out_channels, output, channels_last);
    const Options options = options_of(threads, Algorithm::automatic, workspace_limit);
    py::dtype dtype = py::dtype::of<std::int32_t>();
    Requantization to_bytes;
    py::object weight_scale = py::none(), bias = py::none();
    if (!requantization.is_none()) {
        const auto given = requantization.cast<py::tuple>();
        if (given.size() != 6) throw py::value_error("requantization must have 6 items");
        to_bytes.x_scale = given[0].cast<float>();
        weight_scale = given[1];
        to_bytes.y_scale = given[2].cast<float>();
        to_bytes.y_zero_point = given[3].cast<std::int32_t>();
        dtype = given[4].cast<py::dtype>();
        to_bytes.y_type = byte_type_of("y_zero_point", dtype);
        bias = given[5];
    }
    const PerChannel<float> scales("weight_scale", weight_scale, problem);
    const PerChannel<std::int32_t> offsets("bias", bias, problem);
    to_bytes.weight_scales = scales.array();
    to_bytes.bias = offsets.array();
    Result result(out, dtype, shape, {&x, &weight, &weight_zero_points, &weight_scale, &bias});
    const Array y(result.array().mutable_data(), byte_strides(problem, result.array(), channels_last));
    run_released(options, [&](const Options& released) {
        return requantization.is_none() ? conv_integer(problem, inputs, y, released)
                                        : qlinear_conv(problem, inputs, to_bytes, y, released);
    });
    return result.finish();
}

}  // namespace flatconv::bind
