// Several images computed as if they were one, along an axis that they leave free: weights are then read once for all.
#ifndef FLATCONV_CONV_JOINED_IMAGES_HPP
#define FLATCONV_CONV_JOINED_IMAGES_HPP

#include "conv/algorithm.hpp"

namespace flatconv {

/// Whether images have a single position along an axis.
inline bool leaves_free(const ConvShape& shape, std::size_t axis) {
    return shape.input[axis] == 1 && shape.kernel[axis] == 1 && shape.output[axis] == 1 && shape.pad_before[axis] == 0;
}

/// The images as the positions of such an axis.
inline ConvShape joined_along(std::size_t axis, ConvShape shape) {
    shape.stride[axis] = shape.dilation[axis] = 1;
    shape.input[axis] = shape.output[axis] = shape.batch;
    shape.pixels *= shape.batch;
    shape.batch = 1;
    return shape;
}

/// Images of a single pixel each as the pixels of one image.
inline ConvShape images_in_line(const ConvShape& shape) {
    const bool joins = shape.batch > 1 && leaves_free(shape, 0) && leaves_free(shape, 1) && leaves_free(shape, 2);
    return joins ? joined_along(2, shape) : shape;
}

/// Images of two axes or fewer as the planes of one image.
inline ConvShape images_as_planes(const ConvShape& shape) {
    return shape.batch > 1 && leaves_free(shape, 0) ? joined_along(0, shape) : shape;
}

/// The arrays of images that may have been joined from `asked` to `shape`.
inline ConvArrays joined_arrays(const ConvShape& asked, const ConvShape& shape, ConvArrays arrays) {
    for (std::size_t axis = 0; asked.batch != shape.batch && axis < max_spatial_rank; ++axis) {
        if (shape.output[axis] == asked.output[axis]) continue;
        for (ByteStrides* strides : {&arrays.x.byte_strides, &arrays.residual.byte_strides, &arrays.y.byte_strides}) {
            (*strides)[axis + 2] = strides->front();
        }
    }
    return arrays;
}

}  // namespace flatconv

#endif
