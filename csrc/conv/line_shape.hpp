// Kernels of a single row, column or beam of elements: convolutions of lines.
#ifndef FLATCONV_CONV_LINE_SHAPE_HPP
#define FLATCONV_CONV_LINE_SHAPE_HPP

#include "problem/conv_shape.hpp"

namespace flatconv {

/// Whether channels are convolved each for itself, with kernels along a single axis, which take one step at a time, and
/// whether along the other axes each output is that of the pixel at its place.
bool is_line(const ConvShape& shape) noexcept;

/// Then, the same with that axis as the last one, where the pixels of a channel follow each other: those of the axes
/// behind it lie between the elements of the kernel.
ConvShape in_lines(ConvShape shape) noexcept;

}  // namespace flatconv

#endif
