// Tries boxes of columns, of rows and of planes, and takes the cheapest.
#include "conv/band_plan.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace flatconv {

namespace {

// Costs of what is done for each element of the region matrix, relative to one multiply-add of a vector lane.
// Measured; only their order of magnitude matters.
constexpr double pack_cost = 4;
constexpr double pad_cost = 8;
constexpr double task_cost = 50'000;

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
    const double padding = costs.pads ? pad_cost * padded_elements(shape, box) * double(shape.in_channels) : 0;
    const double task =
        lanes * depth * (double(plan.rows) + pack_cost * packed_share(shape, costs, box)) + padding + task_cost;
    plan.cost = task * double(ceil_div(plan.tasks, threads));
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

BandPlan plan_bands(const ConvShape& shape, const BandCosts& costs, std::int64_t max_pixels, int threads) noexcept {
    BandPlan best{};
    const auto consider = [&](const Extent& box) {
        const BandPlan plan = evaluate(shape, costs, threads, box);
        if (best.tasks == 0 || plan.cost < best.cost) best = plan;
    };
    const auto [planes, rows, cols] = shape.output;
    for (std::int64_t w = costs.tile_cols; w < cols && (w <= max_pixels || w == costs.tile_cols);
         w += costs.tile_cols) {
        consider({1, 1, w});
    }
    for (std::int64_t h = 1; h <= rows && (h * cols <= max_pixels || (h == 1 && cols <= costs.tile_cols)); ++h) {
        consider({1, h, cols});
    }
    for (std::int64_t d = 2; d <= planes && d * rows * cols <= max_pixels; ++d) {
        consider({d, rows, cols});
    }
    return best;
}

}  // namespace flatconv
