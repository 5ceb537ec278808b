// Places of boxes and tasks, and the sizes that every way of computing a band has in common.
#include "conv/band_plan.hpp"

#include <array>

namespace flatconv {

PixelBox BandPlan::at(const ConvShape& shape, std::int64_t index) const {
    const Extent place{index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]};
    PixelBox part;
    for (int axis = 0; axis < max_spatial_rank; ++axis) {
        part.first[axis] = place[axis] * box[axis];
        part.size[axis] = std::min(box[axis], shape.output[axis] - part.first[axis]);
    }
    return part;
}

double busiest_thread(const ConvShape& shape, const BandPlan& plan, double cycles, double cycles_of_last,
                      int threads) noexcept {
    std::array<double, most_counted_threads> busy{};
    const auto first = busy.begin(), end = first + threads;
    std::int64_t full = plan.boxes();
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        if (shape.output[axis] % plan.box[axis] != 0) full -= plan.boxes() / plan.counts[axis];
    }
    for (std::int64_t box = 0; box < plan.boxes(); ++box) {
        const double of_row = (box < full ? cycles : cycles_of_last) / double(plan.rows);
        for (std::int64_t i = 0; i < shape.batch * shape.groups; ++i) {
            for (std::int64_t row = 0; row < shape.out_channels; row += plan.rows) {
                *std::min_element(first, end) += of_row * double(std::min(plan.rows, shape.out_channels - row));
            }
        }
    }
    return *std::max_element(first, end);
}

std::int64_t groups_at_once(const ConvShape& shape, const BandPlan& bands, double cycles, int threads) noexcept {
    constexpr double worth = 50'000;
    const std::int64_t shared = std::max<std::int64_t>(1, shape.groups * shape.batch * bands.boxes() / (8 * threads));
    return std::clamp<std::int64_t>(std::int64_t(worth / cycles), 1,
                                    threads == 1 ? shape.groups : std::min(shape.groups, shared));
}

BandTask::BandTask(const ConvShape& shape, const BandPlan& bands, std::int64_t task) {
    const std::int64_t part = task % bands.row_parts;
    task /= bands.row_parts;
    // All images with the weights of a group, before those of the next one.
    image = task % shape.batch;
    task /= shape.batch;
    group = task % shape.groups;
    box_index = task / shape.groups;
    box = bands.at(shape, box_index);
    first_row = part * bands.rows;
    rows = std::min(bands.rows, shape.out_channels - first_row);
}

PaddedSize padded_size(const ConvShape& shape, const Extent& box) noexcept {
    double sizes[max_spatial_rank];
    for (int axis = 0; axis < max_spatial_rank; ++axis) {
        const double span = double(box[axis] - 1) * double(shape.stride[axis]) +
                            double(shape.kernel[axis] - 1) * double(shape.dilation[axis]) + 1;
        sizes[axis] = std::min(span, double(box[axis]) * double(shape.kernel[axis]));
    }
    return {sizes[0] * sizes[1] * sizes[2], sizes[0] * sizes[1]};
}

double crossing_share(const ConvShape& shape, const Extent& box, int lanes) noexcept {
    const bool one_row = box[0] * box[1] == 1 || shape.taps == 1;
    return one_row || box[2] % lanes == 0 ? 0 : std::min(1.0, double(lanes) / double(box[2]));
}

}  // namespace flatconv
