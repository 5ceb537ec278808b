// Translation between NumPy's and the core's description of arrays. Python has checked types; shapes are checked here
// once more, because nothing behind this line does it.
#include "bind/arrays.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace flatconv::bind {

std::atomic<double> work_per_thread{Options().work_per_thread};
std::atomic<unsigned long> main_thread{0};

namespace {

template <typename Value>
struct Named {
    std::string_view name;
    Value value;
};

constexpr Named<PaddingRule> padding_rules[] = {
    {"valid", PaddingRule::valid},
    {"same", PaddingRule::same},
    {"same_lower", PaddingRule::same_lower},
    {"full", PaddingRule::full},
};

constexpr Named<PaddingMode> padding_modes[] = {
    {"zeros", PaddingMode::zeros},       {"reflect", PaddingMode::reflect},     {"replicate", PaddingMode::replicate},
    {"circular", PaddingMode::circular}, {"symmetric", PaddingMode::symmetric},
};

template <typename Value, std::size_t Count>
Value named(const char* argument, const Named<Value> (&choices)[Count], std::string_view name) {
    for (const Named<Value>& choice : choices) {
        if (choice.name == name) return choice.value;
    }
    throw py::value_error(std::string(argument) + " is unknown: \"" + std::string(name) + "\"");
}

/// First and one past the last byte that an array spans.
std::pair<std::uintptr_t, std::uintptr_t> span_of(const py::array& array) {
    const auto data = reinterpret_cast<std::uintptr_t>(array.data());
    if (array.size() == 0) return {data, data};
    std::intptr_t low = 0, high = array.itemsize();
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
        const std::intptr_t reach = array.strides(axis) * (array.shape(axis) - 1);
        (reach < 0 ? low : high) += reach;
    }
    return {data + std::uintptr_t(low), data + std::uintptr_t(high)};
}

void require(bool holds, const char* what) {
    if (!holds) throw py::value_error(what);
}

}  // namespace

ConvProblem describe(const Geometry& geometry) {
    ConvProblem problem;
    problem.spatial_rank = int(geometry.stride.size());
    require(problem.spatial_rank >= 1 && problem.spatial_rank <= max_spatial_rank, "stride must have 1 to 3 elements");
    problem.stride = spatial_sizes(problem, geometry.stride);
    problem.dilation = spatial_sizes(problem, geometry.dilation);
    problem.padding_mode = named("padding_mode", padding_modes, geometry.padding_mode);
    if (py::isinstance<py::str>(geometry.padding)) {
        problem.padding = named("padding", padding_rules, geometry.padding.cast<std::string_view>());
        return problem;
    }
    const auto pairs = geometry.padding.cast<py::tuple>();
    require(pairs.size() == geometry.stride.size(), "padding must have one pair for each spatial axis");
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        const std::size_t axis = max_spatial_rank - pairs.size() + i;
        const auto pair = pairs[i].cast<py::tuple>();
        require(pair.size() == 2, "padding must have pairs of (before, after)");
        problem.pad_before[axis] = pair[0].cast<std::int64_t>();
        problem.pad_after[axis] = pair[1].cast<std::int64_t>();
    }
    return problem;
}

Extent spatial_sizes(const ConvProblem& problem, const py::ssize_t* shape, py::ssize_t ndim) {
    Extent sizes{1, 1, 1};
    for (int back = 1; back <= problem.spatial_rank; ++back) {
        sizes[std::size_t(max_spatial_rank - back)] = shape[ndim - back];
    }
    return sizes;
}

Extent spatial_sizes(const ConvProblem& problem, const py::tuple& sizes) {
    require(int(sizes.size()) == problem.spatial_rank,
            "stride, dilation and kernel must have one element for each axis");
    Extent extent{1, 1, 1};
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        extent[max_spatial_rank - sizes.size() + i] = sizes[i].cast<std::int64_t>();
    }
    return extent;
}

DType dtype_of(const py::dtype& dtype) {
    // NumPy's numbers of its types: not asked for by way of pybind11, which compares descriptions each time, and has no
    // name for float16.
    using numpy = py::detail::npy_api;
    constexpr int numpy_half = 23;
    constexpr char native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    if (const char order = dtype.byteorder(); order == '=' || order == native) {
        switch (dtype.num()) {
            case numpy::NPY_FLOAT_: return DType::float32;
            case numpy::NPY_DOUBLE_: return DType::float64;
            case numpy::NPY_CFLOAT_: return DType::complex64;
            case numpy::NPY_CDOUBLE_: return DType::complex128;
            case numpy_half: return DType::float16;
            default: break;
        }
    }
    // The type of another package, ml_dtypes, to which NumPy gives a number at run time.
    if (dtype.kind() == 'V' && dtype.attr("name").cast<std::string>() == "bfloat16") return DType::bfloat16;
    throw py::type_error("arrays must be float32, float64, float16, bfloat16, complex64 or complex128");
}

DType common_dtype(const py::array& array, std::initializer_list<const py::object*> others) {
    const DType dtype = dtype_of(array);
    for (const py::object* other : others) {
        if (!other->is_none() && dtype_of(other->cast<py::array>()) != dtype) return DType::float32;
    }
    return dtype;
}

py::dtype result_dtype(DType common, const py::array& array) {
    return dtype_of(array) == common ? array.dtype() : py::dtype::of<float>();
}

DType stored_as(const ConvProblem& problem, const char* name, DType dtype) {
    if (dtype == problem.dtype) return DType::float32;  // stands for the problem's
    const bool widened = problem.dtype == DType::float32 && (dtype == DType::float16 || dtype == DType::bfloat16);
    if (!widened) throw py::type_error(std::string(name) + " has another dtype than the result");
    return dtype;
}

ConstArray readable(const ConvProblem& problem, const char* name, const py::array& array, const ByteStrides& strides) {
    ConstArray described(array.data(), strides);
    described.stored = stored_as(problem, name, dtype_of(array));
    return described;
}

ByteStrides byte_strides(const ConvProblem& problem, const py::array& array, bool channels_last) {
    require(array.ndim() >= problem.spatial_rank && array.ndim() <= problem.spatial_rank + 2,
            "an array's rank must be the spatial rank, or one or two more");
    ByteStrides strides{};
    const py::ssize_t leading = array.ndim() - problem.spatial_rank;
    py::ssize_t end = array.ndim();  // of the spatial axes
    if (channels_last && leading > 0) {
        strides[1] = array.strides(--end);
        if (leading > 1) strides[0] = array.strides(0);
    } else {
        for (py::ssize_t axis = 0; axis < leading; ++axis) {
            strides[std::size_t(2 - leading + axis)] = array.strides(axis);
        }
    }
    for (int back = 1; back <= problem.spatial_rank; ++back) {
        strides[std::size_t(max_spatial_rank + 2 - back)] = array.strides(end - back);
    }
    return strides;
}

ByteStrides channels_last_strides(std::int64_t channels, const Extent& spatial, std::int64_t bytes) {
    ByteStrides strides{};
    if (spatial[0] * spatial[1] * spatial[2] == 0) return strides;
    std::int64_t stride = channels * bytes;
    strides[1] = bytes;
    for (std::size_t axis = max_spatial_rank; axis-- > 0; stride *= spatial[axis]) strides[axis + 2] = stride;
    strides[0] = stride;
    return strides;
}

void describe_x(ConvProblem& problem, const py::array& x, bool channels_last) {
    const py::ssize_t channel_axis = channels_last ? x.ndim() - 1 : x.ndim() - problem.spatial_rank - 1;
    const bool has_channels = x.ndim() > problem.spatial_rank;
    problem.batch = x.ndim() == problem.spatial_rank + 2 ? x.shape(0) : 1;
    problem.in_channels = has_channels ? x.shape(channel_axis) : 1;
    problem.input = spatial_sizes(problem, x.shape(), has_channels && channels_last ? x.ndim() - 1 : x.ndim());
}

std::int64_t leading_size(const ConvProblem& problem, const py::array& array, int back) {
    const py::ssize_t axis = array.ndim() - problem.spatial_rank - back;
    return axis >= 0 ? array.shape(axis) : 1;
}

void describe_weight(ConvProblem& problem, const py::array& weight) {
    problem.out_channels = leading_size(problem, weight, 2);
    problem.kernel = spatial_sizes(problem, weight.shape(), weight.ndim());
}

Extent output_of(const ConvProblem& problem, const py::array& weight) {
    Extent output;
    check(output_size(problem, output));
    if (leading_size(problem, weight, 1) != problem.in_channels / problem.groups) {
        throw py::value_error("weight's channels are not those of a group of x");
    }
    return output;
}

bool may_overlap(const py::array& a, const py::array& b) {
    const auto [a_low, a_high] = span_of(a);
    const auto [b_low, b_high] = span_of(b);
    if (a_low >= b_high || b_low >= a_high) return false;
    // They may still interleave: halves of one buffer, channels of one image.
    try {
        constexpr int most_work = 1000;
        return py::module_::import("numpy").attr("shares_memory")(a, b, most_work).cast<bool>();
    } catch (const py::error_already_set&) {
        return true;  // too hard to tell
    }
}

void take_back_gil(PyThreadState* state) {
#if PY_VERSION_HEX >= 0x030D0000
    const bool finalizing = Py_IsFinalizing();
#else
    const bool finalizing = _Py_IsFinalizing();
#endif
    while (finalizing) std::this_thread::sleep_for(std::chrono::hours(1));
    PyEval_RestoreThread(state);
}

Options interruptible(int threads) {
    Options options;
    options.threads = threads;
    options.work_per_thread = work_per_thread;
    if (PyThread_get_thread_ident() == main_thread) {
        options.should_stop = [](void*) {
            const py::gil_scoped_acquire gil;
            return PyErr_CheckSignals() != 0;
        };
    }
    return options;
}

Options options_of(int threads, Algorithm algorithm, std::int64_t workspace_limit) {
    Options options = interruptible(threads);
    options.algorithm = algorithm;
    if (workspace_limit >= 0) options.workspace_limit = std::size_t(workspace_limit);
    return options;
}

Algorithm algorithm_of(std::string_view name) {
    constexpr std::pair<std::string_view, Algorithm> algorithms[] = {
        {"auto", Algorithm::automatic},    {"reference", Algorithm::reference}, {"im2col", Algorithm::im2col},
        {"implicit", Algorithm::implicit}, {"channels", Algorithm::channels},   {"direct", Algorithm::direct},
    };
    for (const auto& [known, algorithm] : algorithms) {
        if (name == known) return algorithm;
    }
    throw py::value_error("algorithm is unknown: \"" + std::string(name) + "\"");
}

Activation activation_of(const py::object& activation) {
    Activation described;
    if (activation.is_none()) return described;
    const auto items = activation.cast<py::tuple>();
    constexpr std::pair<std::string_view, Activation::Kind> kinds[] = {
        {"relu", Activation::relu},           {"relu6", Activation::relu6},
        {"clip", Activation::clip},           {"leaky_relu", Activation::leaky_relu},
        {"sigmoid", Activation::sigmoid},     {"tanh", Activation::tanh},
        {"silu", Activation::silu},           {"gelu", Activation::gelu},
        {"hardswish", Activation::hardswish},
    };
    const auto name = items[0].cast<std::string_view>();
    for (const auto& [known, kind] : kinds) {
        if (name == known) described.kind = kind;
    }
    if (described.kind == Activation::none)
        throw py::value_error("activation is unknown: \"" + std::string(name) + "\"");
    if (items.size() > 1) described.a = items[1].cast<double>();
    if (items.size() > 2) described.b = items[2].cast<double>();
    return described;
}

ConstArray bias_of(const ConvProblem& problem, const py::object& bias) {
    if (bias.is_none()) return {};
    const auto array = bias.cast<py::array>();
    if (array.size() != problem.out_channels) throw py::value_error("bias is not one number for each channel");
    return readable(problem, "bias", array, {array.ndim() ? array.strides(0) : 0});
}

void check(const Status& status) {
    const char* message = status.message.empty() ? "out of memory" : status.message.c_str();
    switch (status.code) {
        case StatusCode::ok: return;
        case StatusCode::invalid_argument: throw py::value_error(message);
        case StatusCode::size_overflow: PyErr_SetString(PyExc_OverflowError, message); break;
        case StatusCode::out_of_memory: PyErr_SetString(PyExc_MemoryError, message); break;
        case StatusCode::cancelled: break;  // PyErr_CheckSignals has set the exception
    }
    throw py::error_already_set();
}

}  // namespace flatconv::bind
