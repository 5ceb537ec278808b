// One core call each: describe, allocate the result, run.
#include "bind/operations.hpp"

#include <optional>

namespace flatconv::bind {

namespace {

DType dtype_of(const py::array& array) {
    if (py::isinstance<py::array_t<float>>(array)) return DType::float32;
    if (py::isinstance<py::array_t<double>>(array)) return DType::float64;
    throw py::type_error("arrays must be float32 or float64");
}

Algorithm algorithm_of(std::string_view name) {
    if (name == "auto") return Algorithm::automatic;
    if (name == "reference") return Algorithm::reference;
    if (name == "im2col") return Algorithm::im2col;
    if (name == "implicit") return Algorithm::implicit;
    throw py::value_error("algorithm is unknown: \"" + std::string(name) + "\"");
}

/// The sizes before the spatial ones, then those of `spatial`: the shape of a result that matches x.
std::vector<py::ssize_t> shape_like(const ConvProblem& problem, const py::array& x, std::int64_t channels,
                                    const Extent& spatial) {
    std::vector<py::ssize_t> shape;
    const py::ssize_t leading = x.ndim() - problem.spatial_rank;
    if (leading > 1) shape.push_back(problem.batch);
    if (leading > 0) shape.push_back(channels);
    shape.insert(shape.end(), spatial.end() - problem.spatial_rank, spatial.end());
    return shape;
}

std::string text(const py::ssize_t* shape, std::size_t ndim) {
    std::string joined = "(";
    for (std::size_t i = 0; i < ndim; ++i) joined += (i ? ", " : "") + std::to_string(shape[i]);
    return joined + (ndim == 1 ? ",)" : ")");
}

void check_out(const py::array& out, const std::vector<py::ssize_t>& shape) {
    const auto ndim = std::size_t(out.ndim());
    if (!std::equal(out.shape(), out.shape() + ndim, shape.begin(), shape.end())) {
        throw py::value_error("out has shape " + text(out.shape(), ndim) + ", but the result has " +
                              text(shape.data(), shape.size()));
    }
    if (!out.writeable()) throw py::value_error("out is read-only");
    for (py::ssize_t axis = 0; axis < out.ndim(); ++axis) {
        if (out.size() > 0 && out.strides(axis) == 0 && out.shape(axis) > 1) {
            throw py::value_error("out has stride 0 along axis " + std::to_string(axis) +
                                  ": its elements share memory");
        }
    }
}

/// The problem of the region matrix of an image of the given sizes.
ConvProblem region_problem(const Geometry& geometry, const py::tuple& kernel_size) {
    ConvProblem problem = describe(geometry);
    problem.kernel = spatial_sizes(problem, kernel_size);
    return problem;
}

/// The shape of the region matrix: (batch, positions, depth), or (positions, depth) without a batch.
std::vector<py::ssize_t> region_shape(const ConvProblem& problem, const py::dtype& dtype, bool batched) {
    std::int64_t rows = 0, columns = 0;
    check(region_matrix_size(problem, std::size_t(dtype.itemsize()), rows, columns));
    if (batched) return {problem.batch, rows, columns};
    return {rows, columns};
}

}  // namespace

py::array conv(const py::array& x, const py::array& weight, const py::object& bias, const py::tuple& stride,
               const py::object& padding, const py::tuple& dilation, std::int64_t groups, std::string_view padding_mode,
               const py::object& out, int threads, std::string_view algorithm, std::int64_t workspace_limit) {
    ConvProblem problem = describe({stride, padding, dilation, padding_mode});
    problem.dtype = dtype_of(x);
    const ConstArray x_array(x.data(), byte_strides(problem, x));
    const ConstArray weight_array(weight.data(), byte_strides(problem, weight));
    problem.batch = leading_size(problem, x, 2);
    problem.in_channels = leading_size(problem, x, 1);
    problem.out_channels = leading_size(problem, weight, 2);
    problem.groups = groups;
    problem.input = spatial_sizes(problem, x.shape(), x.ndim());
    problem.kernel = spatial_sizes(problem, weight.shape(), weight.ndim());
    Extent output;
    check(output_size(problem, output));
    if (leading_size(problem, weight, 1) != problem.in_channels / problem.groups) {
        throw py::value_error("weight's channels are not those of a group of x");
    }

    ConstArray bias_array;
    if (!bias.is_none()) {
        const auto array = bias.cast<py::array>();
        if (array.size() != problem.out_channels) throw py::value_error("bias is not one number for each channel");
        bias_array = ConstArray(array.data(), {array.ndim() ? array.strides(0) : 0});
        if (dtype_of(array) != problem.dtype) throw py::type_error("bias has another dtype than x");
    }
    if (dtype_of(weight) != problem.dtype) throw py::type_error("weight has another dtype than x");

    const std::vector<py::ssize_t> shape = shape_like(problem, x, problem.out_channels, output);
    std::optional<py::array> target;
    bool overlaps = false;
    if (!out.is_none()) {
        target = out.cast<py::array>();
        if (dtype_of(*target) != problem.dtype) throw py::value_error("out has another dtype than the result");
        check_out(*target, shape);
        overlaps = may_overlap(*target, x) || may_overlap(*target, weight) ||
                   (!bias.is_none() && may_overlap(*target, bias.cast<py::array>()));
    }
    py::array result = target && !overlaps ? *target : py::array(x.dtype(), shape);
    Options options = interruptible(threads);
    options.algorithm = algorithm_of(algorithm);
    if (workspace_limit >= 0) options.workspace_limit = std::size_t(workspace_limit);
    const Array y(result.mutable_data(), byte_strides(problem, result));
    run_released(options, [&](const Options& released) {
        return flatconv::conv(problem, x_array, weight_array, bias_array, y, released);
    });
    if (!overlaps) return result;
    (*target)[py::ellipsis()] = result;
    return *target;
}

py::array im2col(const py::array& x, const py::tuple& kernel_size, const py::tuple& stride, const py::object& padding,
                 const py::tuple& dilation, std::string_view padding_mode, int threads) {
    ConvProblem problem = region_problem({stride, padding, dilation, padding_mode}, kernel_size);
    const ConstArray x_array(x.data(), byte_strides(problem, x));
    problem.batch = leading_size(problem, x, 2);
    problem.in_channels = leading_size(problem, x, 1);
    problem.input = spatial_sizes(problem, x.shape(), x.ndim());
    if (x.dtype().attr("hasobject").cast<bool>()) throw py::type_error("x must not hold Python objects");

    py::array regions(x.dtype(), region_shape(problem, x.dtype(), x.ndim() == problem.spatial_rank + 2));
    void* data = regions.mutable_data();
    run_released(interruptible(threads), [&](const Options& released) {
        return flatconv::im2col(problem, x_array, data, std::size_t(regions.itemsize()), released);
    });
    return regions;
}

py::array col2im(const py::array& regions, const py::tuple& x_shape, const py::tuple& kernel_size,
                 const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                 std::string_view padding_mode, int threads) {
    ConvProblem problem = region_problem({stride, padding, dilation, padding_mode}, kernel_size);
    problem.dtype = dtype_of(regions);
    std::vector<py::ssize_t> sizes;
    for (const py::handle size : x_shape) sizes.push_back(size.cast<py::ssize_t>());
    const auto ndim = py::ssize_t(sizes.size()), leading = ndim - problem.spatial_rank;
    if (leading < 0 || leading > 2) throw py::value_error("x_shape must have 0 to 2 sizes before the spatial ones");
    if (leading > 1) problem.batch = sizes[0];
    if (leading > 0) problem.in_channels = sizes[std::size_t(leading - 1)];
    problem.input = spatial_sizes(problem, sizes.data(), ndim);
    const std::vector<py::ssize_t> expected = region_shape(problem, regions.dtype(), leading == 2);
    const auto regions_ndim = std::size_t(regions.ndim());
    if (!std::equal(regions.shape(), regions.shape() + regions_ndim, expected.begin(), expected.end())) {
        throw py::value_error("regions has shape " + text(regions.shape(), regions_ndim) + ", but x_shape needs " +
                              text(expected.data(), expected.size()));
    }
    const py::array dense = py::array::ensure(regions, py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_);
    if (!dense) throw py::error_already_set();

    py::array x(regions.dtype(), sizes);
    const Array x_array(x.mutable_data(), byte_strides(problem, x));
    run_released(interruptible(threads),
                 [&](const Options& released) { return flatconv::col2im(problem, dense.data(), x_array, released); });
    return x;
}

}  // namespace flatconv::bind
