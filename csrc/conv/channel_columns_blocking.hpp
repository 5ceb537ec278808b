// What the convolution of groups of a single channel, where channels are the innermost axis, decides before it touches
// an element, and the memory that it takes.
#ifndef FLATCONV_CONV_CHANNEL_COLUMNS_BLOCKING_HPP
#define FLATCONV_CONV_CHANNEL_COLUMNS_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct ChannelColumnsBlocking {
    explicit ChannelColumnsBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(one_group(request.shape)),
          panels(panel_sizes(weight_sizes(request.shape)), kernels),
          weights(request.weights),
          bands(plan(request)),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;  // all channels are of one group
    const PanelLayout panels;
    const WeightForm weights;
    const BandPlan bands;  // boxes are rows
    const int participants;

    std::int64_t tasks() const { return bands.tasks; }

    double cycles() const {
        if (weights == WeightForm::packed) return bands.cycles;
        return bands.cycles + 2 * cost::finish * double(shape.out_channels) * double(shape.depth) / participants;
    }

    int columns() const { return channel_columns(shape.kernel[2]); }

    /// What they meet of a row of the padded image.
    std::int64_t positions() const { return (columns() - 1) * shape.stride[2] + shape.kernel[2]; }

    /// Rows of the padded image that so many rows of the output meet, rounded up to strides.
    std::int64_t reach(std::int64_t rows) const {
        const std::int64_t stride = shape.stride[1];
        return (rows - 1 + ceil_div(shape.kernel[1], stride)) * stride;
    }

    static bool suits(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        const bool flat = shape.input[0] == 1 && shape.output[0] == 1 && shape.kernel[0] == 1;
        const bool alone = shape.in_channels == 1 && shape.out_channels == 1 && shape.groups > 1;
        const std::int64_t size = shape.kernel[2], stride = shape.stride[2];
        const bool square =
            shape.kernel[1] == size && shape.stride[1] == stride && shape.dilation[1] == 1 && shape.dilation[2] == 1;
        return kernels_of<T>(*request.kernels).convolve_columns && request.channels_dense && flat && alone && square &&
               convolves_images<T>(size, stride) && (!shape.mirrored || stride == 1) &&
               shape.output[2] >= channel_columns(size);
    }

  private:
    /// Of a box, so that what its columns meet stays in the first-level cache from one vector of channels to the next.
    static constexpr std::int64_t most_rows = 28;

    BandPlan plan(const PlanRequest& request) const {
        const std::int64_t threads = request.threads, rows = shape.output[1];
        const std::int64_t wanted = threads == 1 ? 1 : ceil_div(4 * threads, shape.batch);
        const std::int64_t row_boxes = std::max(std::min(wanted, rows), ceil_div(rows, most_rows));
        BandPlan plan{};
        plan.box = {1, ceil_div(rows, row_boxes), shape.output[2]};
        plan.counts = {1, ceil_div(rows, plan.box[1]), 1};
        const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(wanted, plan.counts[1]), 1, panels.panels());
        plan.rows = std::min(shape.out_channels, ceil_div(panels.panels(), parts) * panels.width);
        plan.row_parts = ceil_div(shape.out_channels, plan.rows);
        plan.tasks = shape.batch * plan.counts[1] * plan.row_parts;
        plan.cycles = (work(plan) + cost::task) * double(ceil_div(plan.tasks, threads));
        return plan;
    }

    /// Cycles of one box: multiply-adds or loads, stores, and where its positions lie.
    double work(const BandPlan& plan) const {
        const double met = double(reach(plan.box[1])), strips = double(ceil_div(plan.box[2], std::int64_t(columns())));
        const double vectors = double(ceil_div(plan.rows, std::int64_t(kernels.lanes)));
        const double sums = double(plan.box[1] * columns());
        const double each = std::max(double(shape.depth) * (sums + double(columns())), 4 * met * double(positions()));
        return strips * (vectors * (each + 4 * sums + 60) + 3 * met * double(positions()));
    }
};

/// The memory of one participant.
template <typename T>
struct ChannelColumnsWorkspace {
    const T** positions;      // of some columns, in each row that the box meets
    std::ptrdiff_t* columns;  // how far each is from the first of its row; negative outside of the image
    T* zeros;                 // what is read outside of the image

    ChannelColumnsWorkspace(const ChannelColumnsBlocking<T>& blocking, Carver& carver)
        : positions(carver.take<const T*>(std::size_t(blocking.reach(blocking.bands.box[1]) * blocking.positions()))),
          columns(carver.take<std::ptrdiff_t>(std::size_t(blocking.positions()))),
          zeros(carver.take<T>(std::size_t(blocking.shape.out_channels))) {}

    void prepare(const ChannelColumnsBlocking<T>& blocking) const {
        std::fill_n(zeros, blocking.shape.out_channels, T(0));
    }
};

}  // namespace flatconv

#endif
