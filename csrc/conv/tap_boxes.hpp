// Where in the output which taps of the kernel meet the image. The others multiply padding, and where that is zeros and
// the weights are finite, their products may be left out: a sum is the same without them, up to the sign of a zero,
// which no result keeps.
#ifndef FLATCONV_CONV_TAP_BOXES_HPP
#define FLATCONV_CONV_TAP_BOXES_HPP

#include <algorithm>
#include <array>

#include "im2col/padded_band.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Consecutive positions of an axis of the output, and the taps that meet the image from any of them.
struct TapRun {
    std::int64_t first, end;
    std::int64_t first_tap, end_tap;

    std::int64_t taps() const { return end_tap - first_tap; }
};

/// A part of a task's box, relative to the box, and the taps that count there.
struct TapBox {
    PixelBox box;
    Extent first_tap, end_tap;

    std::int64_t count() const {
        return (end_tap[0] - first_tap[0]) * (end_tap[1] - first_tap[1]) * (end_tap[2] - first_tap[2]);
    }
    /// visit(first, end) for each run of consecutive taps that count: kernel rows, or, where those or even planes count
    /// as a whole, several at once.
    template <typename Visit>
    void for_each_run(const Extent& kernel, const Visit& visit) const {
        const auto counted = [this](std::size_t axis) { return end_tap[axis] - first_tap[axis]; };
        const bool whole_rows = counted(2) == kernel[2], whole_planes = whole_rows && counted(1) == kernel[1];
        if (count() == 0) return;
        const std::int64_t planes = whole_planes ? 1 : counted(0), rows = whole_rows ? 1 : counted(1);
        const std::int64_t length = count() / (planes * rows);
        for (std::int64_t d = first_tap[0]; d < first_tap[0] + planes; ++d) {
            for (std::int64_t h = first_tap[1]; h < first_tap[1] + rows; ++h) {
                const std::int64_t first = (d * kernel[1] + h) * kernel[2] + first_tap[2];
                visit(first, first + length);
            }
        }
    }
};

class TapBoxes {
  public:
    /// Every box costs tables; where there would be more, neighbours become one, with the taps that either needs.
    static constexpr std::int64_t most = 9;

    /// Cuts the first so many axes: the last one gives short rows of pixels.
    TapBoxes(const ConvShape& shape, std::size_t axes) noexcept;

    /// Of the whole output.
    std::int64_t count() const { return axes_[0].count * axes_[1].count * axes_[2].count; }

    /// Whether there is a tap to leave out.
    bool leave_out() const { return share(0) * share(1) * share(2) < 1; }

    /// The part of an axis's taps that count, on average.
    double share(std::size_t axis) const { return axes_[axis].share; }

    std::int64_t runs(std::size_t axis) const { return axes_[axis].count; }
    const TapRun& run(std::size_t axis, std::int64_t index) const { return axes_[axis].runs[std::size_t(index)]; }

    /// visit(TapBox) for each part of the box.
    template <typename Visit>
    void for_each_in(const PixelBox& box, const Visit& visit) const {
        TapBox part{};
        visit_axis(box, 0, part, visit);
    }

  private:
    struct Axis {
        std::array<TapRun, most + 1> runs;
        std::int64_t count = 0;
        double share = 1;
    };

    static Axis cut(const ConvShape& shape, std::size_t axis) noexcept;
    static Axis whole(const ConvShape& shape, std::size_t axis) noexcept;
    static void join_cheapest(Axis& axis) noexcept;

    template <typename Visit>
    void visit_axis(const PixelBox& box, std::size_t axis, TapBox& part, const Visit& visit) const {
        if (axis == max_spatial_rank) return visit(const_cast<const TapBox&>(part));
        for (std::int64_t i = 0; i < axes_[axis].count; ++i) {
            const TapRun& run = axes_[axis].runs[std::size_t(i)];
            const std::int64_t first = std::max(run.first, box.first[axis]);
            const std::int64_t end = std::min(run.end, box.first[axis] + box.size[axis]);
            if (first >= end) continue;
            part.box.first[axis] = first - box.first[axis];
            part.box.size[axis] = end - first;
            part.first_tap[axis] = run.first_tap;
            part.end_tap[axis] = run.end_tap;
            visit_axis(box, axis + 1, part, visit);
        }
    }

    std::array<Axis, max_spatial_rank> axes_;
};

}  // namespace flatconv

#endif
