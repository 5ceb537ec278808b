// The parts of a band in which different taps count, and for each the depths of a block that do.
#ifndef FLATCONV_CONV_BAND_PARTS_HPP
#define FLATCONV_CONV_BAND_PARTS_HPP

#include <algorithm>
#include <array>

#include "conv/channel_blocking.hpp"
#include "conv/tap_boxes.hpp"

namespace flatconv {

template <typename T>
struct BandPart {
    TapBox taps;
    PixelGrid<T> pixels;
    std::int64_t sums_at;               // of the first pixel: so many are before it
    Extent sums_step;                   // in pixels
    bool has_new_taps;                  // that count in no part before
    TileWalk walks[max_panel_vectors];  // by the vectors of a panel - 1
    std::int64_t first, depth;          // the terms of the block in the tables
    const std::ptrdiff_t* pixel_offsets;
    const std::ptrdiff_t* panel_offsets[max_panel_vectors];
};

template <typename T>
class BandParts {
  public:
    /// `pixels` are those of the whole box.
    BandParts(const ChannelBlocking<T>& blocking, const ChannelWorkspace<T>& workspace, const PixelBox& box,
              const PixelGrid<T>& pixels)
        : blocking_(blocking), workspace_(workspace) {
        const std::int64_t line = box.size[2];
        whole_ = {};
        whole_.taps = {{{0, 0, 0}, box.size}, {0, 0, 0}, blocking.shape.kernel};
        whole_.pixels = pixels;
        whole_.sums_step = {box.size[1] * line, line, 1};
        whole_.has_new_taps = true;
        whole_.pixel_offsets = workspace.offsets;
        std::copy_n(workspace.panel_offsets, blocking.kernels.panel_vectors, whole_.panel_offsets);
        if (!blocking.taps.leave_out()) {
            find_walks(whole_);
            return;
        }
        for (TileWalk& walk : whole_.walks) walk = {{0, 1, 2}, {0, 0}, 0};
        std::array<TapBox, std::size_t(TapBoxes::most)> boxes;
        std::size_t count = 0;
        blocking.taps.for_each_in(box, [&](const TapBox& taps) { boxes[count++] = taps; });
        // The first part brings the weights into the cache, and the more of them it reads, the more evenly.
        std::sort(boxes.begin(), boxes.begin() + count,
                  [](const TapBox& a, const TapBox& b) { return a.count() > b.count(); });
        std::for_each_n(boxes.begin(), count, [this](const TapBox& taps) { add(taps); });
    }

    /// Makes the tables of each part, of those depths [depth, depth + length) that count. `workspace.offsets` are
    /// theirs.
    void place(std::int64_t depth, std::int64_t length) {
        const std::int64_t taps = blocking_.shape.taps;
        begin_ = depth % taps;
        for (std::int64_t p = 0; p < count_; ++p) {
            BandPart<T>& part = parts_[std::size_t(p)];
            part.depth = 0;
            // Channel by channel; the first and the last may be in other blocks in part.
            for (std::int64_t channel = -(depth % taps); channel < length; channel += taps) {
                if (channel >= taps && channel + taps <= length) {
                    repeat(p, channel);
                    continue;
                }
                part.taps.for_each_run(blocking_.shape.kernel, [&](std::int64_t first, std::int64_t end) {
                    append(p, std::max<std::int64_t>(channel + first, 0), std::min(channel + end, length));
                });
            }
        }
    }

    /// Goes to depths [depth, depth + length), or to what lies like them in the tables of other channels.
    void select(std::int64_t depth, std::int64_t length) {
        const std::int64_t first = depth % blocking_.shape.taps;
        whole_.first = first - begin_;
        whole_.depth = length;
        for (std::int64_t p = 0; p < count_; ++p) {
            BandPart<T>& part = parts_[std::size_t(p)];
            const std::int64_t before = counted(part.taps, first);
            part.first = before - counted(part.taps, begin_);
            part.depth = counted(part.taps, first + length) - before;
        }
    }

    /// visit(part) for the parts, or for the whole band as one, with all taps.
    template <typename Visit>
    void for_each(bool leave_out, const Visit& visit) const {
        if (!leave_out || count_ == 0) return visit(whole_);
        for (std::int64_t p = 0; p < count_; ++p) visit(parts_[std::size_t(p)]);
    }

  private:
    /// How many of so many depths count, from a channel's first one on.
    std::int64_t counted(const TapBox& taps, std::int64_t depths) const {
        const std::int64_t rest = depths % blocking_.shape.taps;
        std::int64_t count = depths / blocking_.shape.taps * taps.count();
        if (rest == 0) return count;
        taps.for_each_run(blocking_.shape.kernel, [&](std::int64_t first, std::int64_t end) {
            count += std::clamp<std::int64_t>(rest - first, 0, end - first);
        });
        return count;
    }

    /// Of part `p`: the offsets of pixels, and those in panels of 1, 2, … vectors.
    std::ptrdiff_t* table(std::int64_t p, int which) const {
        return workspace_.counted_offsets +
               (p * (1 + blocking_.kernels.panel_vectors) + which) * blocking_.table_length();
    }

    /// Depths [first, end) of the block count in part `p`, if there are such.
    void append(std::int64_t p, std::int64_t first, std::int64_t end) {
        if (first >= end) return;
        std::int64_t& depth = parts_[std::size_t(p)].depth;
        for (int which = 0; which <= blocking_.kernels.panel_vectors; ++which) {
            const std::ptrdiff_t* const from = which == 0 ? workspace_.offsets : workspace_.panel_offsets[which - 1];
            if (which > 0 && !blocking_.panels.has_width(which * blocking_.kernels.lanes)) continue;
            std::copy(from + first, from + end, table(p, which) + depth);
        }
        depth += end - first;
    }

    /// The same depths of the channel that begins at depth `channel` as of the one before, at the distance of the two.
    void repeat(std::int64_t p, std::int64_t channel) {
        BandPart<T>& part = parts_[std::size_t(p)];
        const std::int64_t count = part.taps.count();
        for (int which = 0; which <= blocking_.kernels.panel_vectors; ++which) {
            const std::ptrdiff_t* const from = which == 0 ? workspace_.offsets : workspace_.panel_offsets[which - 1];
            if (which > 0 && !blocking_.panels.has_width(which * blocking_.kernels.lanes)) continue;
            const std::ptrdiff_t distance = from[channel] - from[channel - blocking_.shape.taps];
            std::ptrdiff_t* const to = table(p, which) + part.depth;
            for (std::int64_t i = 0; i < count; ++i) to[i] = to[i - count] + distance;
        }
        part.depth += count;
    }

    void add(const TapBox& taps) {
        BandPart<T> part = whole_;
        part.taps = taps;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            part.pixels.first += taps.box.first[axis] * part.pixels.step[axis];
            part.pixels.size[axis] = taps.box.size[axis];
            part.sums_at += taps.box.first[axis] * part.sums_step[axis];
        }
        find_walks(part);
        part.has_new_taps = std::none_of(parts_.begin(), parts_.begin() + count_,
                                         [&](const BandPart<T>& before) { return before.taps.has_taps_of(taps); });
        part.pixel_offsets = table(count_, 0);
        for (int v = 0; v < blocking_.kernels.panel_vectors; ++v) part.panel_offsets[v] = table(count_, 1 + v);
        parts_[std::size_t(count_++)] = part;
    }

    void find_walks(BandPart<T>& part) const {
        join_lines(part);
        for (int v = 1; v <= blocking_.kernels.panel_vectors; ++v) {
            if (!blocking_.panels.has_width(v * blocking_.kernels.lanes)) continue;
            part.walks[v - 1] = quickest_walk(part.pixels.size, blocking_.tile_depth(part.taps, v));
        }
    }

    /// Lines that follow each other at the same step are one line.
    static void join_lines(BandPart<T>& part) {
        PixelGrid<T>& pixels = part.pixels;
        for (const std::size_t axis : {1, 0}) {
            if (pixels.size[axis] == 1) continue;
            if (pixels.step[axis] != pixels.size[2] * pixels.step[2]) return;
            if (part.sums_step[axis] != pixels.size[2] * part.sums_step[2]) return;
            pixels.size[2] *= pixels.size[axis];
            pixels.size[axis] = 1;
        }
    }

    const ChannelBlocking<T>& blocking_;
    const ChannelWorkspace<T>& workspace_;
    BandPart<T> whole_;
    std::array<BandPart<T>, std::size_t(TapBoxes::most)> parts_;
    std::int64_t count_ = 0;
    std::int64_t begin_ = 0;  // the tables' first depth in its channel
};

}  // namespace flatconv

#endif
