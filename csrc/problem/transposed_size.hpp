// The sizes of a transposed convolution; asked for by problem/conv_shape.cpp alone.
#ifndef FLATCONV_PROBLEM_TRANSPOSED_SIZE_HPP
#define FLATCONV_PROBLEM_TRANSPOSED_SIZE_HPP

#include <flatconv/flatconv.hpp>

namespace flatconv {

/// The convolution that `problem` transposes, with all amounts of padding resolved. Of `problem`, the values are known
/// to be in their ranges, but nothing is known of the sizes that they make.
Status transposed_from(const ConvProblem& problem, ConvProblem& forward);

}  // namespace flatconv

#endif
