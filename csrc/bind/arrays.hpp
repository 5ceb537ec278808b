// NumPy arrays and Python tuples as the core describes them; called by the registered functions alone.
#ifndef FLATCONV_BIND_ARRAYS_HPP
#define FLATCONV_BIND_ARRAYS_HPP

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <flatconv/flatconv.hpp>

#include <string>
#include <vector>

namespace flatconv::bind {

namespace py = pybind11;

/// The geometry that all operations share, as far as it is the same in Python: one tuple element for each axis.
struct Geometry {
    py::tuple stride;
    py::object padding;  // a rule's name, or a tuple of (before, after)
    py::tuple dilation;
    std::string_view padding_mode;
};

/// A problem with everything but channels, groups, input and kernel. Raises ValueError for unknown names.
ConvProblem describe(const Geometry& geometry);

/// The last `problem.spatial_rank` sizes of a shape.
Extent spatial_sizes(const ConvProblem& problem, const py::ssize_t* shape, py::ssize_t ndim);
Extent spatial_sizes(const ConvProblem& problem, const py::tuple& sizes);

/// Byte strides by the core's axes. An array of the spatial rank has neither batch nor channels, one of a rank more no
/// batch; the missing ones count as 1. For weights and biases the leading axes are their own.
ByteStrides byte_strides(const ConvProblem& problem, const py::array& array);

/// The size of the axis `back` places before the spatial ones (1: channels, 2: batch), or 1 where there is none.
std::int64_t leading_size(const ConvProblem& problem, const py::array& array, int back);

/// Whether the arrays may share memory, by the bounds of what they span.
bool may_overlap(const py::array& a, const py::array& b);

/// Raises the exception that belongs to a failure.
void check(const Status& status);

/// Runs a core call without the GIL. The Options it gets poll for signals, so that Ctrl-C raises KeyboardInterrupt.
template <typename Call>
void run_released(int threads, Options options, const Call& call) {
    options.threads = threads;
    options.should_stop = [](void*) {
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    };
    Status status;
    {
        const py::gil_scoped_release release;
        status = call(options);
    }
    check(status);
}

}  // namespace flatconv::bind

#endif
