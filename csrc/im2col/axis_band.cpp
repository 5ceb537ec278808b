// Lays out the taps of one axis, residue by residue of the stride.
#include "im2col/axis_band.hpp"

#include <algorithm>

namespace flatconv {

AxisBand::AxisBand(std::int64_t taps, std::int64_t stride, std::int64_t dilation, std::int64_t positions)
    : positions_(positions), tap_at_(std::size_t(taps)) {
    // Steps between taps repeat their residues with this period, so its first taps lead one residue each.
    std::int64_t a = stride, b = dilation % stride;
    while (b != 0) {
        const std::int64_t remainder = a % b;
        a = b;
        b = remainder;
    }
    const std::int64_t period = stride / a;
    for (std::int64_t leader = 0; leader < std::min(period, taps); ++leader) {
        for (std::int64_t tap = leader; tap < taps; tap += period) {
            const std::int64_t coordinate = tap * dilation;
            const bool joins = tap != leader && (coordinate - runs_.back().first) / stride <= runs_.back().length;
            if (!joins) runs_.push_back({coordinate, length_, 0});
            AxisRun& run = runs_.back();
            const std::int64_t begin = (coordinate - run.first) / stride;
            tap_at_[std::size_t(tap)] = run.at + begin;
            run.length = begin + positions;
            length_ = run.at + run.length;
        }
    }
}

}  // namespace flatconv
