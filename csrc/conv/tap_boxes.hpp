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
    /// Whether all taps that count in `other` count here.
    bool has_taps_of(const TapBox& other) const {
        bool has = true;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            has &= first_tap[axis] <= other.first_tap[axis] && other.end_tap[axis] <= end_tap[axis];
        }
        return has || other.count() == 0;
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
    static constexpr std::int64_t most = 27;

    /// Cuts the first so many axes: the last one gives short rows of pixels.
    TapBoxes(const ConvShape& shape, std::size_t axes) noexcept;

    /// Of the whole output.
    std::int64_t count() const {
        std::int64_t boxes = 0;
        for (std::int64_t lines = 0; lines < axes_[0].count * axes_[1].count; ++lines) boxes += rows_of(lines).count;
        return boxes;
    }

    /// Whether there is a tap to leave out.
    bool leave_out() const { return share_ < 1; }

    /// The part of the taps that count, on average.
    double share() const { return share_; }

    bool cuts_rows() const { return axes_[2].count > 1; }

    /// Leaves the rows of pixels whole where cuts_rows(first, boxes) is false: `boxes` of them, from `first` on, are
    /// what they would be cut into, and the one after those is the whole. Boxes are relative to the output.
    template <typename CutsRows>
    void choose_rows(const CutsRows& cuts_rows) {
        TapBox boxes[most_runs + 1];
        const PixelBox output{{0, 0, 0}, output_};
        for (std::int64_t lines = 0; lines < axes_[0].count * axes_[1].count; ++lines) {
            std::int64_t count = 0;
            const auto add = [&](const TapBox& box) { boxes[count++] = box; };
            visit_lines(output, lines, axes_[2], add);
            visit_lines(output, lines, whole_row_, add);
            whole_[std::size_t(lines)] = !cuts_rows(const_cast<const TapBox*>(boxes), axes_[2].count);
        }
        share_ = find_share();
    }

    /// visit(TapBox) for each part of the box.
    template <typename Visit>
    void for_each_in(const PixelBox& box, const Visit& visit) const {
        for (std::int64_t lines = 0; lines < axes_[0].count * axes_[1].count; ++lines) {
            visit_lines(box, lines, rows_of(lines), visit);
        }
    }

  private:
    static constexpr std::int64_t most_runs = 9;  // of an axis

    struct Axis {
        std::array<TapRun, most_runs + 1> runs;
        std::int64_t count = 0;
    };

    static Axis cut(const ConvShape& shape, std::size_t axis) noexcept;
    static Axis whole(const ConvShape& shape, std::size_t axis) noexcept;
    static void join_cheapest(Axis& axis) noexcept;
    double find_share() const noexcept;

    /// How the rows of some lines are cut: of one run of planes, and one of their rows.
    const Axis& rows_of(std::int64_t lines) const { return whole_[std::size_t(lines)] ? whole_row_ : axes_[2]; }

    template <typename Visit>
    void visit_lines(const PixelBox& box, std::int64_t lines, const Axis& row, const Visit& visit) const {
        TapBox part;
        const auto place = [&](std::size_t axis, const TapRun& run) {
            const std::int64_t first = std::max(run.first, box.first[axis]);
            const std::int64_t end = std::min(run.end, box.first[axis] + box.size[axis]);
            part.box.first[axis] = first - box.first[axis];
            part.box.size[axis] = end - first;
            part.first_tap[axis] = run.first_tap;
            part.end_tap[axis] = run.end_tap;
            return first < end;
        };
        if (!place(0, axes_[0].runs[std::size_t(lines / axes_[1].count)])) return;
        if (!place(1, axes_[1].runs[std::size_t(lines % axes_[1].count)])) return;
        for (std::int64_t i = 0; i < row.count; ++i) {
            if (place(2, row.runs[std::size_t(i)])) visit(const_cast<const TapBox&>(part));
        }
    }

    Extent output_, kernel_;
    std::array<Axis, max_spatial_rank> axes_;
    Axis whole_row_;
    std::array<bool, std::size_t(most)> whole_{};  // rows, by lines
    double share_;
};

}  // namespace flatconv

#endif
