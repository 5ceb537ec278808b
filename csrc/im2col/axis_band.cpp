// Finds the classes of taps along one axis.
#include "im2col/axis_band.hpp"

#include <algorithm>
#include <numeric>

namespace flatconv {

AxisBand::AxisBand(std::int64_t taps, std::int64_t stride, std::int64_t dilation, std::int64_t positions,
                   bool mirrored) noexcept
    : taps_(taps), dilation_(dilation), positions_(positions), mirrored_(mirrored) {
    // Residues of k · dilation modulo the stride repeat with this period.
    const std::int64_t common = std::gcd(stride, dilation);
    const std::int64_t distance = dilation / common;
    classes_ = std::min(stride / common, taps);
    shared_ = distance <= positions;
    step_ = std::min(distance, positions);
    class_length_ = (taps / classes_ - 1) * step_ + positions;
    longer_classes_ = taps % classes_;
}

}  // namespace flatconv
