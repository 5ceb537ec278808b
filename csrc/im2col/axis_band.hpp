// How one axis of a band of the input is laid out, so that every tap finds its pixels side by side.
//
// The output position o of tap k reads the padded coordinate o · stride + k · dilation. A band keeps, for some
// consecutive positions and all taps, each coordinate that is read, and no other, in runs of constant step:
//
//     stride 2, dilation 1, 3 taps, positions 0 1 2:      coordinates  0 2 4 6 | 1 3 5
//                                                         tap 0 at 0 ──┘ │     │       positions of a tap are
//                                                         tap 2 at 1 ────┘     │       consecutive elements,
//                                                         tap 1 at 4 ──────────┘       whatever the stride
//
// Taps whose coordinates interleave or overlap share a run; taps far apart (a large dilation) get runs of their own, so
// that a band is never larger than either the span that it covers or taps × positions.
#ifndef FLATCONV_IM2COL_AXIS_BAND_HPP
#define FLATCONV_IM2COL_AXIS_BAND_HPP

#include <cstdint>
#include <vector>

namespace flatconv {

/// Consecutive elements of a band: coordinates first, first + stride, ….
struct AxisRun {
    std::int64_t first;  // padded coordinate of the first element, relative to that of the band's first position
    std::int64_t at;     // index of the first element in the band
    std::int64_t length;
};

class AxisBand {
  public:
    AxisBand(std::int64_t taps, std::int64_t stride, std::int64_t dilation, std::int64_t positions);

    /// Elements in the band.
    std::int64_t length() const { return length_; }

    /// Where the band's first position of a tap lies; its other positions follow.
    std::int64_t tap_at(std::int64_t tap) const { return tap_at_[std::size_t(tap)]; }

    const std::vector<AxisRun>& runs() const { return runs_; }

    /// The most positions that the band holds; a run is shorter by what a shorter band lacks.
    std::int64_t positions() const { return positions_; }

  private:
    std::int64_t positions_;
    std::int64_t length_ = 0;
    std::vector<std::int64_t> tap_at_;
    std::vector<AxisRun> runs_;
};

}  // namespace flatconv

#endif
