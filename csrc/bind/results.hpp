// The array that an operation writes: the caller's `out`, or a new one.
#ifndef FLATCONV_BIND_RESULTS_HPP
#define FLATCONV_BIND_RESULTS_HPP

#include <optional>

#include "bind/arrays.hpp"

namespace flatconv::bind {

/// Where a result is computed. Where `out` may share memory with an operand that is a temporary array, and
/// `finish` copies.
class Result {
  public:
    /// Allocates the result, or checks `out` (an array, or None). Raises ValueError, before anything is written, for an
    /// `out` of another shape or dtype, a read-only one, or one with elements that share memory. Operands that are no
    /// arrays have no memory to share.
    Result(const py::object& out, const py::dtype& dtype, const std::vector<py::ssize_t>& shape,
           std::initializer_list<const py::object*> operands);

    py::array& array() { return array_; }

    /// What the caller gets.
    py::array finish();

  private:
    std::optional<py::array> target_;  // if it overlaps an operand
    py::array array_;
};

/// The sizes of a result of `channels` and `spatial` sizes whose leading axes are those of x.
std::vector<py::ssize_t> shape_like(const ConvProblem& problem, const py::array& x, std::int64_t channels,
                                    const Extent& spatial, bool channels_last = false);

/// What is added to a result of this shape, an array or None. Raises ValueError for another shape.
ConstArray residual_of(const ConvProblem& problem, const py::object& residual, const std::vector<py::ssize_t>& shape,
                       bool channels_last);

/// "(2, 3)", for messages.
std::string text(const py::ssize_t* shape, std::size_t ndim);

}  // namespace flatconv::bind

#endif
