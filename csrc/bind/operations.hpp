// The operations as Python calls them; module.cpp registers them.
#ifndef FLATCONV_BIND_OPERATIONS_HPP
#define FLATCONV_BIND_OPERATIONS_HPP

#include "bind/arrays.hpp"

namespace flatconv::bind {

py::array conv(const py::array& x, const py::array& weight, const py::object& bias, const py::tuple& stride,
               const py::object& padding, const py::tuple& dilation, std::int64_t groups, std::string_view padding_mode,
               const py::object& out, int threads, std::string_view algorithm, std::int64_t workspace_limit);

py::array im2col(const py::array& x, const py::tuple& kernel_size, const py::tuple& stride, const py::object& padding,
                 const py::tuple& dilation, std::string_view padding_mode, int threads);

py::array col2im(const py::array& regions, const py::tuple& x_shape, const py::tuple& kernel_size,
                 const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                 std::string_view padding_mode, int threads);

}  // namespace flatconv::bind

#endif
