// Convolutions of bytes, as far as the other public entries know of them.
#ifndef FLATCONV_CONV_BYTE_CONV_HPP
#define FLATCONV_CONV_BYTE_CONV_HPP

#include <flatconv/flatconv.hpp>

namespace flatconv {

/// The most workspace that conv_integer, or qlinear_conv, needs for the problem.
Status byte_workspace(const ConvProblem& problem, bool requantizes, const Options& options, std::size_t& bytes);

}  // namespace flatconv

#endif
