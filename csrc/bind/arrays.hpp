// NumPy arrays and Python tuples as the core describes them; called by the registered functions alone.
#ifndef FLATCONV_BIND_ARRAYS_HPP
#define FLATCONV_BIND_ARRAYS_HPP

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <flatconv/flatconv.hpp>

#include <atomic>
#include <string>
#include <vector>

namespace flatconv::bind {

namespace py = pybind11;

/// Options::work_per_thread of all calls; tests set it to 0 to have small problems split.
extern std::atomic<double> work_per_thread;

/// Python's main thread, where alone signal handlers run.
extern std::atomic<unsigned long> main_thread;

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
///
/// With `channels_last` the channels' axis is the last one, if there are channels.
ByteStrides byte_strides(const ConvProblem& problem, const py::array& array, bool channels_last = false);

/// Those of a dense array of such sizes with its channels last; 0 without pixels, where the other sizes may be any.
ByteStrides channels_last_strides(std::int64_t channels, const Extent& spatial, std::int64_t bytes);

/// Raises TypeError for anything but the types of DType.
DType dtype_of(const py::dtype& dtype);
inline DType dtype_of(const py::array& array) { return dtype_of(array.dtype()); }

/// That of a result: the one type of all arrays, or float32 where some hold halves. The others may be None.
DType common_dtype(const py::array& array, std::initializer_list<const py::object*> others);

/// The same as NumPy has it, where `array` is one of them.
py::dtype result_dtype(DType common, const py::array& array);

/// `ConstArray::stored` for such a type. Raises TypeError for another than the problem's or, of float32, halves.
DType stored_as(const ConvProblem& problem, const char* name, DType dtype);

/// An array to read. Raises TypeError likewise.
ConstArray readable(const ConvProblem& problem, const char* name, const py::array& array, const ByteStrides& strides);

/// The size of the axis `back` places before the spatial ones (1: channels, 2: batch), or 1 where there is none.
std::int64_t leading_size(const ConvProblem& problem, const py::array& array, int back);

/// Writes the sizes of x, or those of weight, into the problem.
void describe_x(ConvProblem& problem, const py::array& x, bool channels_last);
void describe_weight(ConvProblem& problem, const py::array& weight);

/// The sizes of the output of a problem whose x and weight are described. Raises ValueError where those do not go
/// together.
Extent output_of(const ConvProblem& problem, const py::array& weight);

/// Whether the arrays share memory, as far as that can be told at little cost; in doubt, yes.
bool may_overlap(const py::array& a, const py::array& b);

/// Raises the exception that belongs to a failure.
void check(const Status& status);

/// PyEval_RestoreThread, but a thread that comes back while the interpreter shuts down sleeps until the process ends:
/// Python would end it by unwinding its stack, which aborts the process.
void take_back_gil(PyThreadState* state);

/// Options that stop a call when a signal handler raises: on Python's main thread, so that no other one ever waits for
/// the GIL before its call is done.
Options interruptible(int threads);

/// The same with an algorithm, and with a limit where it is not negative.
Options options_of(int threads, Algorithm algorithm, std::int64_t workspace_limit);

/// Raises ValueError for an unknown name.
Algorithm algorithm_of(std::string_view name);

/// What a name with its parameters, or None, stands for. Raises ValueError for an unknown name.
Activation activation_of(const py::object& activation);

/// The bias of a problem, a NumPy array or None.
ConstArray bias_of(const ConvProblem& problem, const py::object& bias);

/// Runs a core call without the GIL.
template <typename Call>
void run_released(const Options& options, const Call& call) {
    PyThreadState* const state = PyEval_SaveThread();
    const Status status = call(options);
    take_back_gil(state);
    check(status);
}

}  // namespace flatconv::bind

#endif
