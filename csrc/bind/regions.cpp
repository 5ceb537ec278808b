// The region matrix: one core call each: describe, allocate the result, run.
#include "bind/operations.hpp"

#include <utility>

#include "bind/results.hpp"

namespace flatconv::bind {

namespace {

/// The problem of the region matrix of an image of the given sizes.
ConvProblem region_problem(const Geometry& geometry, const py::tuple& kernel_size) {
    ConvProblem problem = describe(geometry);
    problem.kernel = spatial_sizes(problem, kernel_size);
    return problem;
}

/// The shape of the region matrix: (batch, positions, depth), or (positions, depth) without a batch; transposed with
/// the last two in each other's place.
std::vector<py::ssize_t> region_shape(const ConvProblem& problem, const py::dtype& dtype, bool batched,
                                      bool transposed) {
    std::int64_t rows = 0, columns = 0;
    check(region_matrix_size(problem, std::size_t(dtype.itemsize()), rows, columns));
    if (transposed) std::swap(rows, columns);
    if (batched) return {problem.batch, rows, columns};
    return {rows, columns};
}

}  // namespace

py::array im2col(const py::array& x, const py::tuple& kernel_size, const py::tuple& stride, const py::object& padding,
                 const py::tuple& dilation, std::string_view padding_mode, bool channels_last, int threads,
                 bool transposed) {
    ConvProblem problem = region_problem({stride, padding, dilation, padding_mode}, kernel_size);
    const ConstArray x_array(x.data(), byte_strides(problem, x, channels_last));
    describe_x(problem, x, channels_last);
    if (x.dtype().attr("hasobject").cast<bool>()) throw py::type_error("x must not hold Python objects");

    py::array regions(x.dtype(), region_shape(problem, x.dtype(), x.ndim() == problem.spatial_rank + 2, transposed));
    void* data = regions.mutable_data();
    const auto write = transposed ? flatconv::unfold : flatconv::im2col;
    run_released(interruptible(threads), [&](const Options& released) {
        return write(problem, x_array, data, std::size_t(regions.itemsize()), released);
    });
    return regions;
}

py::array col2im(const py::array& regions, const py::tuple& x_shape, const py::tuple& kernel_size,
                 const py::tuple& stride, const py::object& padding, const py::tuple& dilation,
                 std::string_view padding_mode, bool channels_last, int threads, bool transposed) {
    ConvProblem problem = region_problem({stride, padding, dilation, padding_mode}, kernel_size);
    problem.dtype = dtype_of(regions);
    std::vector<py::ssize_t> sizes;
    for (const py::handle size : x_shape) sizes.push_back(size.cast<py::ssize_t>());
    const auto ndim = py::ssize_t(sizes.size()), leading = ndim - problem.spatial_rank;
    if (leading < 0 || leading > 2) throw py::value_error("x_shape must have 0 to 2 sizes before the spatial ones");
    const bool last = channels_last && leading > 0;
    if (leading > 1) problem.batch = sizes[0];
    if (leading > 0) problem.in_channels = last ? sizes.back() : sizes[std::size_t(leading - 1)];
    problem.input = spatial_sizes(problem, sizes.data(), last ? ndim - 1 : ndim);
    const std::vector<py::ssize_t> expected = region_shape(problem, regions.dtype(), leading == 2, transposed);
    const auto regions_ndim = std::size_t(regions.ndim());
    if (!std::equal(regions.shape(), regions.shape() + regions_ndim, expected.begin(), expected.end())) {
        throw py::value_error((transposed ? "x has shape " : "regions has shape ") +
                              text(regions.shape(), regions_ndim) +
                              (transposed ? ", but output_size needs " : ", but x_shape needs ") +
                              text(expected.data(), expected.size()));
    }
    const py::array dense = py::array::ensure(regions, py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_);
    if (!dense) throw py::error_already_set();

    py::array x(regions.dtype(), sizes);
    const Array x_array(x.mutable_data(), byte_strides(problem, x, channels_last));
    const auto sum = transposed ? flatconv::fold : flatconv::col2im;
    run_released(interruptible(threads),
                 [&](const Options& released) { return sum(problem, dense.data(), x_array, released); });
    return x;
}

}  // namespace flatconv::bind
