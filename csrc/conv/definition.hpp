// What the definitions of results share: reading an element, and what follows the sum.
#ifndef FLATCONV_CONV_DEFINITION_HPP
#define FLATCONV_CONV_DEFINITION_HPP

#include <cmath>
#include <cstring>

#include "conv/activation_steps.hpp"
#include "conv/algorithm.hpp"
#include "kernels/curves.hpp"

namespace flatconv {

template <typename T>
T load(const void* data, std::int64_t offset) {
    T value;
    std::memcpy(&value, static_cast<const std::byte*>(data) + offset, sizeof value);
    return value;
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
T finished(T sum, const Activation& activation, const ConvArrays& arrays, std::int64_t image, std::int64_t channel,
           const Extent& at) {
    T bias = 0;
    if (arrays.bias.data) bias += load<T>(arrays.bias.data, channel * arrays.bias.byte_strides[0]);
    sum += bias;
    if (arrays.residual.data) {
        const ByteStrides& to = arrays.residual.byte_strides;
        sum += load<T>(arrays.residual.data,
                       image * to[0] + channel * to[1] + at[0] * to[2] + at[1] * to[3] + at[2] * to[4]);
    }
    return activated(activation, sum);
}

}  // namespace flatconv

#endif
