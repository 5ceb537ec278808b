// The operations as Python calls them; module.cpp registers them.
#ifndef FLATCONV_BIND_OPERATIONS_HPP
#define FLATCONV_BIND_OPERATIONS_HPP

#include "bind/arrays.hpp"

namespace flatconv::bind {

py::array conv(const py::array& x, const py::array& weight, const py::object& bias, const py::tuple& stride,
               const py::object& padding, const py::tuple& dilation, std::int64_t groups, std::string_view padding_mode,
               bool channels_last, const py::object& activation, const py::object& residual, const py::object& out,
               int threads, std::string_view algorithm, std::int64_t workspace_limit);

/// conv_integer or, where `requantization` is not None, qlinear_conv. That is a tuple: x_scale, weight scales (a
/// number, or float32 for each output channel), y_scale, y_zero_point, y's dtype, and bias (int32, or None). Zero
/// points of weights are a number, or int32 for each output channel.
py::array conv_bytes(const py::array& x, const py::array& weight, std::int32_t x_zero_point,
                     const py::object& weight_zero_points, const py::tuple& stride, const py::object& padding,
                     const py::tuple& dilation, std::int64_t groups, bool channels_last,
                     const py::object& requantization, const py::object& out, int threads,
                     std::int64_t workspace_limit);

/// PackedConv for Python.
class PackedLayer {
  public:
    PackedLayer(const py::array& weight, const py::object& bias, const py::tuple& stride, const py::object& padding,
                const py::tuple& dilation, std::int64_t groups, std::string_view padding_mode, bool transposed,
                const py::tuple& output_padding, bool channels_last, const py::object& activation,
                std::string_view algorithm, std::int64_t workspace_limit);

    py::array run(const py::array& x, const py::object& residual, const py::object& out, int threads) const;
    std::size_t workspace_bytes(std::int64_t batch, const py::tuple& input, int threads,
                                const py::dtype& x_dtype) const;
    std::string explain(std::int64_t batch, const py::tuple& input, int threads, const py::dtype& x_dtype) const;

  private:
    /// Strides of the arrays of a call, which there aren't yet.
    struct Layouts {
        ConstArray x;
        Array y;
    };

    Options options(int threads) const;
    Layouts layouts(std::int64_t batch, const Extent& input, const py::dtype& x_dtype) const;

    PackedConv packed_;
    ConvProblem problem_;
    bool channels_last_;
    py::dtype dtype_;
    Algorithm algorithm_;
    std::int64_t workspace_limit_;
};

/// With `transposed`, unfold.
py::array im2col(const py::array& x, const py::tuple& kernel_size, const py::tuple& stride, const py::object& padding,
                 const py::tuple& dilation, std::string_view padding_mode, bool channels_last, int threads,
                 bool transposed);

/// With `transposed`, fold; errors then call the arguments what Python's fold calls them.
py::array col2im(const py::array& regions, const py::tuple& x_shape, const py::tuple& kernel_size,
                 const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                 std::string_view padding_mode, bool channels_last, int threads, bool transposed);

}  // namespace flatconv::bind

#endif
