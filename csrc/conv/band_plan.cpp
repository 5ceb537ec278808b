// Tries boxes of columns, of rows and of planes, and takes the cheapest.
#include "conv/band_plan.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace flatconv {

namespace {

// Costs relative to one multiply-add of a vector lane. Measured; only their order of magnitude matters.
constexpr double pack_cost = 4;     // of an element that is packed, from the first-level cache to the second
constexpr double pad_cost = 8;      // of an element that is padded
constexpr double weight_cost = 16;  // of an element of the weights, from memory
constexpr double task_cost = 50'000;

/// More pixels gain nothing, and bands should be many enough to share.
constexpr std::int64_t most_pixels = 2048;

/// Elements of one channel's padded band; close enough for a cost.
double padded_elements(const ConvShape& shape, const Extent& box) {
    double elements = 1;
    for (int axis = 0; axis < max_spatial_rank; ++axis) {
        const double span = double(box[axis] - 1) * double(shape.stride[axis]) +
                            double(shape.kernel[axis] - 1) * double(shape.dilation[axis]) + 1;
        elements *= std::min(span, double(box[axis]) * double(shape.kernel[axis]));
    }
    return elements;
}

/// The part of all vectors that is packed.
double packed_share(const ConvShape& shape, const BandCosts& costs, const Extent& box) {
    if (costs.packs_all) return 1;
    const bool one_row = box[0] * box[1] == 1 || shape.taps == 1;
    return one_row || box[2] % costs.lanes == 0 ? 0 : std::min(1.0, double(costs.lanes) / double(box[2]));
}

BandPlan evaluate(const ConvShape& shape, const BandCosts& costs, int threads, const Extent& box) {
    BandPlan plan{};
    plan.box = box;
    for (int axis = 0; axis < max_spatial_rank; ++axis) plan.counts[axis] = ceil_div(shape.output[axis], box[axis]);
    const std::int64_t independent = shape.batch * shape.groups * plan.boxes();
    const std::int64_t wanted_parts = independent < threads ? ceil_div(threads, independent) : 1;
    const std::int64_t row_tiles = ceil_div(shape.out_channels, costs.tile_rows);
    plan.rows = ceil_div(shape.out_channels, std::min(wanted_parts, row_tiles));
    plan.row_parts = ceil_div(shape.out_channels, plan.rows);
    plan.tasks = independent * plan.row_parts;

    const std::int64_t pixels = box[0] * box[1] * box[2];
    const double depth = double(shape.depth);
    const double lanes = double(round_up(pixels, costs.tile_cols));
    const double rows = double(plan.rows);
    const double padded = costs.ring ? padded_elements(shape, box) : 0;
    const double packed = lanes * packed_share(shape, costs, box);
    const double task = depth * (lanes * rows + pack_cost * packed + weight_cost * rows) +
                        pad_cost * padded * double(shape.in_channels) + task_cost;
    plan.cost = task * double(ceil_div(plan.tasks, threads));
    plan.elements = padded * double(costs.ring) + packed * double(costs.block);
    return plan;
}

}  // namespace

PixelBox BandPlan::at(const ConvShape& shape, std::int64_t index) const {
    const Extent place{index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]};
    PixelBox part;
    for (int axis = 0; axis < max_spatial_rank; ++axis) {
        part.first[axis] = place[axis] * box[axis];
        part.size[axis] = std::min(box[axis], shape.output[axis] - part.first[axis]);
    }
    return part;
}

BandPlan plan_bands(const ConvShape& shape, const BandCosts& costs, std::int64_t max_elements, int threads) noexcept {
    BandPlan best{};
    // Boxes grow from one candidate to the next. False when this one is too large, and so are all that follow.
    const auto consider = [&](const Extent& box) {
        const BandPlan plan = evaluate(shape, costs, threads, box);
        const bool first = best.tasks == 0;
        if (!first && (plan.elements > double(max_elements) || box[0] * box[1] * box[2] > most_pixels)) return false;
        if (first || plan.cost < best.cost) best = plan;
        return true;
    };
    const auto [planes, rows, cols] = shape.output;
    bool fits = true;
    for (std::int64_t w = costs.tile_cols; fits && w < cols; w += costs.tile_cols) fits = consider({1, 1, w});
    for (std::int64_t h = 1; fits && h <= rows; ++h) fits = consider({1, h, cols});
    for (std::int64_t d = 2; fits && d <= planes; ++d) fits = consider({d, rows, cols});
    return best;
}

}  // namespace flatconv
