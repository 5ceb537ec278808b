// An activation as the kernels' epilogue takes it.
#ifndef FLATCONV_CONV_ACTIVATION_STEPS_HPP
#define FLATCONV_CONV_ACTIVATION_STEPS_HPP

#include <flatconv/flatconv.hpp>

#include <limits>

#include "kernels/kernel_set.hpp"

namespace flatconv {

inline Curve curve_of(Activation::Kind kind) noexcept {
    switch (kind) {
        case Activation::none:
        case Activation::relu:
        case Activation::relu6:
        case Activation::clip: break;
        case Activation::leaky_relu: return Curve::leaky_relu;
        case Activation::sigmoid: return Curve::sigmoid;
        case Activation::tanh: return Curve::tanh;
        case Activation::silu: return Curve::silu;
        case Activation::gelu: return Curve::gelu;
        case Activation::hardswish: return Curve::hardswish;
    }
    return Curve::none;
}

/// Bounds that sums are kept between, or a curve.
template <typename T>
struct ActivationSteps {
    bool clamps;
    T low, high;
    Curve curve;
    T slope;

    explicit ActivationSteps(const Activation& activation)
        : clamps(true),
          low(T(0)),
          high(std::numeric_limits<T>::infinity()),
          curve(curve_of(activation.kind)),
          slope(T(activation.a)) {
        switch (activation.kind) {
            case Activation::relu: break;
            case Activation::relu6: high = T(6); break;
            case Activation::clip:
                low = T(activation.a);
                high = T(activation.b);
                break;
            default: clamps = false; break;
        }
    }
};

}  // namespace flatconv

#endif
