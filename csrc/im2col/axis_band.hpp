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
// Taps whose coordinates have the same residue modulo the stride form a class. Within a class neighbours are all at one
// distance: if that is no more than the positions, they share a run; if it is more (a large dilation), each has a run
// of its own. So a band is never larger than the span that it covers, nor than taps × positions.
#ifndef FLATCONV_IM2COL_AXIS_BAND_HPP
#define FLATCONV_IM2COL_AXIS_BAND_HPP

#include <cstdint>

namespace flatconv {

/// Consecutive elements of a band: coordinates first, first + stride, ….
struct AxisRun {
    std::int64_t first;  // padded coordinate of the first element, relative to that of the band's first position
    std::int64_t at;     // index of the first element in the band
    std::int64_t length;
};

class AxisBand {
  public:
    /// For at most `positions` consecutive positions; fewer leave the ends of runs unused. `mirrored` counts the taps
    /// from the far end; the band is the same.
    AxisBand(std::int64_t taps, std::int64_t stride, std::int64_t dilation, std::int64_t positions,
             bool mirrored = false) noexcept;

    std::int64_t positions() const { return positions_; }

    /// Elements in the band.
    std::int64_t length() const { return class_at(classes_); }

    /// Where the band's first position of a tap lies; its other positions follow.
    std::int64_t tap_at(std::int64_t tap) const { return Walk(*this, tap).at(); }

    std::int64_t runs() const { return shared_ ? classes_ : taps_; }

    AxisRun run(std::int64_t index) const {
        // Taps 0, 1, … lead one class each; where nothing is shared, every tap is a run.
        const std::int64_t length = shared_ ? class_at(index + 1) - class_at(index) : positions_;
        return {index * dilation_, place(index % classes_, index / classes_), length};
    }

    /// Walks the taps in order, without a division for each.
    class Walk {
      public:
        Walk(const AxisBand& band, std::int64_t tap) : band_(band) {
            if (band.mirrored_) tap = band.taps_ - 1 - tap;
            class_ = tap % band.classes_;
            member_ = tap / band.classes_;
        }

        std::int64_t at() const { return band_.place(class_, member_); }

        void next() {
            if (band_.mirrored_) {
                if (--class_ >= 0) return;
                class_ = band_.classes_ - 1;
                --member_;
            } else {
                if (++class_ < band_.classes_) return;
                class_ = 0;
                ++member_;
            }
        }

      private:
        const AxisBand& band_;
        std::int64_t class_;
        std::int64_t member_;
    };

  private:
    /// Where a class begins. The first of them have a tap more than the others.
    std::int64_t class_at(std::int64_t index) const {
        return index * class_length_ + (index < longer_classes_ ? index : longer_classes_) * step_;
    }

    /// Where the first position of a member of a class lies.
    std::int64_t place(std::int64_t class_index, std::int64_t member) const {
        return class_at(class_index) + member * step_;
    }

    std::int64_t taps_;
    std::int64_t dilation_;
    std::int64_t positions_;
    bool mirrored_;
    std::int64_t classes_;
    std::int64_t step_;  // from one tap of a class to the next, in elements of the band
    bool shared_;        // the taps of a class share a run
    std::int64_t class_length_;
    std::int64_t longer_classes_;
};

}  // namespace flatconv

#endif
