// How an output is cut into bands, so that they fit the caches and keep all threads busy.
#ifndef FLATCONV_CONV_BAND_PLAN_HPP
#define FLATCONV_CONV_BAND_PLAN_HPP

#include <algorithm>

#include "base/caches.hpp"
#include "base/checked.hpp"
#include "im2col/padded_band.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Boxes of one size cover the output of an image; output channels may be cut as well. All parts are independent.
struct BandPlan {
    Extent box;
    Extent counts;           // boxes along each axis
    std::int64_t row_parts;  // parts of a group's output channels
    std::int64_t rows;       // output channels in a part
    std::int64_t tasks;      // batch · groups · boxes · row_parts
    double cycles;           // of the busiest thread; see ConvPlan::cycles

    std::int64_t boxes() const { return counts[0] * counts[1] * counts[2]; }

    /// The box with this index; those at the ends are smaller.
    PixelBox at(const ConvShape& shape, std::int64_t index) const;
};

/// How long the busiest thread computes where each takes the next task as soon as it is free. They take so many cycles,
/// those of the last boxes along the axis that is cut `cycles_of_last`, and less where rows are fewer.
double busiest_thread(const ConvShape& shape, const BandPlan& plan, double cycles, double cycles_of_last,
                      int threads) noexcept;
inline constexpr int most_counted_threads = 16;

/// Groups for one task where `cycles` are those of a box of one group: enough to make the task worth its beginning, and
/// few enough to keep all threads busy.
std::int64_t groups_at_once(const ConvShape& shape, const BandPlan& bands, double cycles, int threads) noexcept;

/// What one task computes: a box of one image's output, for some output channels of one group.
struct BandTask {
    std::int64_t image;
    std::int64_t box_index;  // tasks of one box follow each other
    PixelBox box;
    std::int64_t group;
    std::int64_t first_row;  // output channel of the group
    std::int64_t rows;

    BandTask(const ConvShape& shape, const BandPlan& bands, std::int64_t task);

    /// All output channels of a group.
    BandTask(const PixelBox& whole, std::int64_t of_image, std::int64_t of_group, std::int64_t all_rows)
        : image(of_image), box_index(0), box(whole), group(of_group), first_row(0), rows(all_rows) {}
};

/// What a band comes to: the time that it takes, and the elements that it keeps (padded, packed, summed).
struct BandWork {
    double cycles;
    double elements;
    double again = 0;  // cycles more where other tasks have read the same x
};

/// The sizes that bands are made of.
struct BandUnits {
    int rows;    // output channels are cut at multiples of it
    int pixels;  // boxes of less than a row are multiples of it
};

// Measured costs, in cycles: multiply-adds of one vector. Only their order of magnitude matters.
namespace cost {

inline constexpr double task = 2000;       // a box that a participant has not met before
inline constexpr double tile = 30;         // a tile for one block of depth, beside its multiply-adds and its stores
inline constexpr double pixel_tile = 40;   // the same of vectors that lie anywhere, finished in registers
inline constexpr double kernel_row = 13;   // of a direct tile, beside its multiply-adds
inline constexpr double store = 3;         // of a vector of sums, or its load and store
inline constexpr double pad = 0.25;        // of an element that is padded
inline constexpr double pad_row = 15;      // of a row of those
inline constexpr double stray = 6;         // of an element that is read or written far from its neighbour
inline constexpr double pack = 0.25;       // of an element that is packed
inline constexpr double join = 0.5;        // of two that are packed as one word
inline constexpr double finish = 0.5;      // of an element that is transposed on its way to y
inline constexpr double weight = 0.15;     // of an element of weights or x that comes from the second-level cache,
inline constexpr double far_weight = 0.4;  // and from beyond it
inline constexpr double gap = 2;           // of an element that is read in place, with gaps, from beyond the caches
inline constexpr double check = 20;        // of one depth of a panel, whether its weights are finite
inline constexpr double across = 9;        // of a tile for one depth, whose pixels are not neighbours, at least,
inline constexpr double fetch = 1.9;       // and of each line of the cache that it meets
inline constexpr double table = 4;         // of a depth of one part of a band, in its tables of offsets

/// What cutting rows of pixels must save, because each part reads the weights once more: of the whole, and at all,
inline constexpr double cut_rows = 0.02;
inline constexpr double plan_rows = 30000;  // because it takes time to plan

/// A tile for one depth: its multiply-adds, unless their latency or the loads take longer.
inline double tile_depth(double rows, double vectors) {
    return std::max({rows * vectors, 4.0, 1.5 * vectors + 0.5 * rows});
}

/// The same of vectors that are neighbours in a panel, if each tile reads that from the second-level cache.
inline double far_panel_depth(double rows, double vectors) { return std::max(rows * vectors, rows + 3.6 * vectors); }

/// Some of all weights or of all pixels, on their way to the multipliers.
inline double brought(double elements, double all_bytes) {
    return elements * (all_bytes <= double(second_level_cache) ? weight : far_weight);
}

}  // namespace cost

/// The same output as of one group, where bands may have channels of any.
inline ConvShape one_group(ConvShape shape) noexcept {
    shape.out_channels *= shape.groups;
    shape.groups = 1;
    return shape;
}

/// The size of x, where its elements are T.
template <typename T>
double x_bytes(const ConvShape& shape) noexcept {
    const auto [depth, height, width] = shape.input;
    return double(shape.batch * shape.groups * shape.in_channels) * double(depth * height * width) * double(sizeof(T));
}

/// Elements that a band of the box takes, by channel and by row; close enough for a cost.
struct PaddedSize {
    double elements;
    double rows;
};
PaddedSize padded_size(const ConvShape& shape, const Extent& box) noexcept;

/// The part of the vectors that cross the end of a row, if they are cut from all pixels of the box in turn.
double crossing_share(const ConvShape& shape, const Extent& box, int lanes) noexcept;

/// The next larger size of boxes to try along an axis: of the small ones each, then those that cut it into equal parts.
/// To try them all would take a small call longer than to compute it.
constexpr std::int64_t next_size(std::int64_t size, std::int64_t whole, std::int64_t unit) {
    constexpr std::int64_t small = 8;
    const std::int64_t parts = ceil_div(whole, size);
    if (size < small * unit || parts == 1) return size + unit;
    return round_up(ceil_div(whole, parts - 1), unit);
}

/// The plan of least time whose bands keep at most `max_elements` (or the least that a band can), where
/// `work(box, rows)` tells what a band with so many output channels comes to. One that is kept for many calls may take
/// longer to find.
template <typename Work>
BandPlan plan_bands(const ConvShape& shape, const BandUnits& units, std::int64_t max_elements, int threads,
                    const Work& work, bool kept = false) noexcept {
    /// More pixels gain nothing, and bands should be many enough to share.
    constexpr std::int64_t most_pixels = 4096, few_tasks = 4;
    /// Threads that share few tasks may share more of them more evenly, but each has a beginning and an end.
    constexpr double worth_more_tasks = 0.96;
    const bool counts_shares = kept && threads > 1 && threads <= most_counted_threads;
    BandPlan best{};
    // Boxes grow from one candidate to the next. False when this one is too large, and so are all that follow.
    const auto consider = [&](const Extent& box) {
        BandPlan plan{};
        plan.box = box;
        for (int axis = 0; axis < max_spatial_rank; ++axis) plan.counts[axis] = ceil_div(shape.output[axis], box[axis]);
        const std::int64_t independent = shape.batch * shape.groups * plan.boxes();
        const std::int64_t wanted_parts = independent < threads ? ceil_div(threads, independent) : 1;
        const std::int64_t row_units = ceil_div(shape.out_channels, units.rows);
        const auto cut_rows = [&](std::int64_t parts) {
            plan.rows = std::min(shape.out_channels, ceil_div(row_units, std::min(parts, row_units)) * units.rows);
            plan.row_parts = ceil_div(shape.out_channels, plan.rows);
            plan.tasks = independent * plan.row_parts;
            const BandWork band = work(box, plan.rows);
            if (counts_shares && plan.tasks <= 2 * few_tasks * threads) {
                const double beside = cost::task + (parts > wanted_parts ? band.again : 0);
                const double last = work(plan.at(shape, plan.boxes() - 1).size, plan.rows).cycles;
                plan.cycles = busiest_thread(shape, plan, band.cycles + beside, last + beside, threads);
            } else {
                plan.cycles = (band.cycles + cost::task) * double(ceil_div(plan.tasks, threads));
            }
            return band;
        };
        const BandWork band = cut_rows(wanted_parts);
        // The last box of an axis may be smaller; but of several threads, the busiest may have none of those.
        for (std::size_t axis = 0; threads == 1 && axis < max_spatial_rank; ++axis) {
            Extent last = box;
            last[axis] = shape.output[axis] % box[axis];
            if (last[axis] == 0) continue;
            const double saved = band.cycles - work(last, plan.rows).cycles;
            plan.cycles -= saved * double(plan.tasks) / double(plan.counts[axis]);
        }
        const bool first = best.tasks == 0;
        if (!first && (band.elements > double(max_elements) || box[0] * box[1] * box[2] > most_pixels)) return false;
        if (first || plan.cycles < best.cycles) best = plan;
        while (counts_shares && plan.tasks < few_tasks * threads && plan.row_parts < row_units) {
            cut_rows(2 * plan.row_parts);
            if (plan.cycles < worth_more_tasks * best.cycles) best = plan;
        }
        return true;
    };
    const auto [planes, rows, cols] = shape.output;
    bool fits = true;
    for (std::int64_t w = units.pixels; fits && w < cols; w = next_size(w, cols, units.pixels))
        fits = consider({1, 1, w});
    for (std::int64_t h = 1; fits && h <= rows; h = next_size(h, rows, 1)) fits = consider({1, h, cols});
    for (std::int64_t d = 2; fits && d <= planes; d = next_size(d, planes, 1)) fits = consider({d, rows, cols});
    return best;
}

}  // namespace flatconv

#endif
