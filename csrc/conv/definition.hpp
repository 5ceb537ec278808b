// What the definitions of results share: reading an element, and what follows the sum.
#ifndef FLATCONV_CONV_DEFINITION_HPP
#define FLATCONV_CONV_DEFINITION_HPP

#include <cmath>

#include "conv/activation_steps.hpp"
#include "conv/algorithm.hpp"
#include "kernels/curves.hpp"
#include "problem/stored.hpp"

namespace flatconv {

/// An element of the weight or the bias: those of a packed layer are what is computed with.
template <typename T>
T load_parameter(const ConvArrays& arrays, const ConstArray& array, std::int64_t offset) {
    return arrays.packed ? load<T>(array.data, offset) : load_stored<T>(array.stored, array.data, offset);
}

/// How far an element of x, of y or of the residual is from the first. `bytes` are those of the parts of complex ones.
inline std::int64_t element_at(const ConvShape& shape, const ByteStrides& strides, std::int64_t image,
                               std::int64_t channel, const Extent& at, std::int64_t bytes) {
    return image * strides[0] + shape.channel_at(strides[1], channel, bytes) + at[0] * strides[2] + at[1] * strides[3] +
           at[2] * strides[4];
}

/// Such an element.
template <typename T>
T load_element(const ConvShape& shape, const ConstArray& array, std::int64_t image, std::int64_t channel,
               const Extent& at) {
    return load_stored<T>(array.stored, array.data,
                          element_at(shape, array.byte_strides, image, channel, at, sizeof(T)));
}

/// What kernels/curves.hpp computes with, one number at a time.
template <typename T>
struct OneLane {
    using Scalar = T;
    using Vector = T;
    static T zero() { return 0; }
    static T broadcast(const T* p) { return *p; }
    static T add(T a, T b) { return a + b; }
    static T sub(T a, T b) { return a - b; }
    static T mul(T a, T b) { return a * b; }
    static T div(T a, T b) { return a / b; }
    static T fma(T a, T b, T c) { return std::fma(a, b, c); }
    static T max(T a, T b) { return a > b ? a : b; }
    static T min(T a, T b) { return a < b ? a : b; }
    static T select_less(T a, T b, T x, T y) { return a < b ? x : y; }
    static T raise(T a, T n) { return raised(a, n); }
};

template <typename T>
T activated(const Activation& activation, T value) {
    // A NaN compares false, and stays.
    const auto between = [&](T low, T high) { return value < low ? low : value > high ? high : value; };
    switch (activation.kind) {
        case Activation::none: break;
        case Activation::relu: return value < 0 ? T(0) : value;
        case Activation::relu6: return between(0, 6);
        case Activation::clip: return between(T(activation.a), T(activation.b));
        default:
            visit_curve<OneLane<T>>(curve_of(activation.kind), T(activation.a),
                                    [&](const auto& curve) { value = curve(value); });
    }
    return value;
}

/// activation(sum + bias + residual), for one output.
template <typename T>
T finished(T sum, const ConvShape& shape, const Activation& activation, const ConvArrays& arrays, std::int64_t image,
           std::int64_t channel, const Extent& at) {
    T bias = 0;
    if (arrays.bias.data) {
        bias +=
            load_parameter<T>(arrays, arrays.bias, shape.channel_at(arrays.bias.byte_strides[0], channel, sizeof(T)));
    }
    sum += bias;
    if (arrays.residual.data) sum += load_element<T>(shape, arrays.residual, image, channel, at);
    return activated(activation, sum);
}

}  // namespace flatconv

#endif
