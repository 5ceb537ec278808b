// Allocates results, and checks the caller's own.
#include "bind/results.hpp"

namespace flatconv::bind {

namespace {

void check_out(const py::array& out, const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
    if (!out.dtype().equal(dtype)) throw py::value_error("out has another dtype than the result");
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

/// A new array. A large one starts on a cache line, which NumPy's own memory does by chance alone: vectors that are
/// stored across two lines take half as long again.
py::array make_array(const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
    constexpr py::ssize_t line = 64, large = 1 << 15;
    py::ssize_t bytes = dtype.itemsize();
    for (const py::ssize_t size : shape) {
        if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > PY_SSIZE_T_MAX - line) return {dtype, shape};
    }
    if (bytes < large) return {dtype, shape};
    try {
        const py::array_t<std::uint8_t> memory(bytes + line - 1);
        const auto misplaced = py::ssize_t(reinterpret_cast<std::uintptr_t>(memory.data()) % line);
        return {dtype, shape, memory.data((line - misplaced) % line), memory};
    } catch (const py::error_already_set&) {
        return {dtype, shape};  // fails too, and names the shape
    }
}

}  // namespace

Result::Result(const py::object& out, const py::dtype& dtype, const std::vector<py::ssize_t>& shape,
               std::initializer_list<const py::object*> operands) {
    if (out.is_none()) {
        array_ = make_array(dtype, shape);
        return;
    }
    auto target = out.cast<py::array>();
    check_out(target, dtype, shape);
    for (const py::object* operand : operands) {
        if (!py::isinstance<py::array>(*operand) || !may_overlap(target, operand->cast<py::array>())) continue;
        target_ = target;
        array_ = make_array(dtype, shape);
        return;
    }
    array_ = std::move(target);
}

py::array Result::finish() {
    if (!target_) return std::move(array_);
    (*target_)[py::ellipsis()] = array_;
    return *std::move(target_);
}

ConstArray residual_of(const ConvProblem& problem, const py::object& residual, const std::vector<py::ssize_t>& shape,
                       bool channels_last) {
    if (residual.is_none()) return {};
    const auto array = residual.cast<py::array>();
    const auto ndim = std::size_t(array.ndim());
    if (!std::equal(array.shape(), array.shape() + ndim, shape.begin(), shape.end())) {
        throw py::value_error("residual has shape " + text(array.shape(), ndim) + ", but the result has " +
                              text(shape.data(), shape.size()));
    }
    return readable(problem, "residual", array, byte_strides(problem, array, channels_last));
}

std::vector<py::ssize_t> shape_like(const ConvProblem& problem, const py::array& x, std::int64_t channels,
                                    const Extent& spatial, bool channels_last) {
    std::vector<py::ssize_t> shape;
    const py::ssize_t leading = x.ndim() - problem.spatial_rank;
    if (leading > 1) shape.push_back(problem.batch);
    if (leading > 0 && !channels_last) shape.push_back(channels);
    shape.insert(shape.end(), spatial.end() - problem.spatial_rank, spatial.end());
    if (leading > 0 && channels_last) shape.push_back(channels);
    return shape;
}

std::string text(const py::ssize_t* shape, std::size_t ndim) {
    std::string joined = "(";
    for (std::size_t i = 0; i < ndim; ++i) joined += (i ? ", " : "") + std::to_string(shape[i]);
    return joined + (ndim == 1 ? ",)" : ")");
}

}  // namespace flatconv::bind
