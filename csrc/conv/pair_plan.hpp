// bfloat16 by the CPU's own dot product: the bits of float32 arithmetic at twice the speed.
//
// One instruction adds two products to a sum, each step rounded like a fused multiply-add, in the order that the
// numerical contract asks for; but numbers below 2^-126 are zeros to it, whether they are read or would be its result.
// Where no number can be so small, nothing is lost:
//
//     x with an exponent of at least e is a multiple of 2^(e - 7), because bfloat16 has 8 bits of significand, and so
//     is w with f. Their products are multiples of g = 2^(e + f - 14), and so is every sum of such numbers, rounded:
//     with 24 bits, what is below 2^24 · g is exact, and what is above is rounded to multiples of more than g. So no
//     sum other than 0 is smaller than g, and with e + f >= -112 none is subnormal.
//
// The smallest exponents are found on the way. Where they are too small, the convolution is computed once more, in
// float32.
#ifndef FLATCONV_CONV_PAIR_PLAN_HPP
#define FLATCONV_CONV_PAIR_PLAN_HPP

#include "base/checked.hpp"
#include "conv/algorithm.hpp"

namespace flatconv {

/// Whether the kernels have the instruction for an array that holds such numbers.
inline bool has_pairs(const KernelSet& kernels, DType stored) noexcept {
    return stored == DType::bfloat16 && kernels.pairs.words.multiply != nullptr;
}

inline bool has_pairs(const PlanRequest& request) noexcept {
    return has_pairs(*request.kernels, request.x_dtype) && has_pairs(*request.kernels, request.weight_dtype);
}

/// Whether numbers with such biased exponents, and more, keep every sum of products from being subnormal.
constexpr bool keep_sums_normal(int x_exponent, int weight_exponent) {
    constexpr int bias = 127;
    return x_exponent > 0 && weight_exponent > 0 && x_exponent + weight_exponent - 2 * bias >= -112;
}

/// A plan that has pairs multiplied, and `exact` run where that must not be; or `exact`, if it is cheaper.
std::unique_ptr<ConvPlan> plan_pairs(const PlanRequest& request, std::unique_ptr<ConvPlan> exact);

}  // namespace flatconv

#endif
