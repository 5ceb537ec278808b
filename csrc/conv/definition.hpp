// What the definitions of results share: reading an element, and what follows the sum.
#ifndef FLATCONV_CONV_DEFINITION_HPP
#define FLATCONV_CONV_DEFINITION_HPP

#include <cstring>

#include "conv/algorithm.hpp"

namespace flatconv {

template <typename T>
T load(const void* data, std::int64_t offset) {
    T value;
    std::memcpy(&value, static_cast<const std::byte*>(data) + offset, sizeof value);
    return value;
}

/// How far an element of x, of y or of the residual is from the first.
inline std::int64_t element_at(const ConvShape& shape, const ByteStrides& strides, std::int64_t image,
                               std::int64_t channel, const Extent& at, std::int64_t bytes) {
    return image * strides[0] + shape.channel_at(strides[1], channel, bytes) + at[0] * strides[2] + at[1] * strides[3] +
           at[2] * strides[4];
}

template <typename T>
T activated(const Activation& activation, T value) {
    // A NaN compares false, and stays.
    const auto between = [&](T low, T high) { return value < low ? low : value > high ? high : value; };
    switch (activation.kind) {
        case Activation::none: break;
        case Activation::relu: return value < 0 ? T(0) : value;
        case Activation::relu6: return between(0, 6);
        case Activation::clip: return between(T(activation.a), T(activation.b));
    }
    return value;
}

/// activation(sum + bias + residual), for one output.
template <typename T>
T finished(T sum, const ConvShape& shape, const Activation& activation, const ConvArrays& arrays, std::int64_t image,
           std::int64_t channel, const Extent& at) {
    T bias = 0;
    if (arrays.bias.data) {
        bias += load<T>(arrays.bias.data, shape.channel_at(arrays.bias.byte_strides[0], channel, sizeof(T)));
    }
    sum += bias;
    if (arrays.residual.data) {
        const std::int64_t offset = element_at(shape, arrays.residual.byte_strides, image, channel, at, sizeof(T));
        sum += load<T>(arrays.residual.data, offset);
    }
    return activated(activation, sum);
}

}  // namespace flatconv

#endif
