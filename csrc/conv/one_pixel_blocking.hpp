// What the product for a single pixel decides before it touches an element, and the memory that it takes.
#ifndef FLATCONV_CONV_ONE_PIXEL_BLOCKING_HPP
#define FLATCONV_CONV_ONE_PIXEL_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct OnePixelBlocking {
    /// A kernel of one element on one image of which one pixel counts, if its channels are no more than a band may
    /// hold.
    static bool suits(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
        const double sums = double(kernels.panel_vectors * kernels.lanes) / double(depth_block);
        const double kept = double(shape.depth) * (1 + sums);
        return kept * double(sizeof(T)) <= double(request.band_bytes) && shape.batch == 1 && shape.pixels == 1 &&
               shape.taps == 1 && shape.pad_before == Extent{0, 0, 0} &&
               *std::min_element(shape.input.begin(), shape.input.end()) > 0;
    }

    explicit OnePixelBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(request.shape),
          panels(weight_sizes(shape), kernels),
          weights(request.weights),
          half_panels(halves_of_weights<T>(request)),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          transposes(request.y_in_rows),
          bands(plan(request)),
          from_rows(weights == WeightForm::rows && shape.out_channels >= kernels.lanes && shape.depth >= kernels.lanes),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const PanelLayout panels;
    const WeightForm weights;
    const HalfKernels<T>* const half_panels;  // of weights that tasks pack; or null
    const HalfKernels<T>* const half_x;       // of x; or null
    const HalfKernels<T>* const half_y;       // of y and the residual; or null
    const bool transposes;                    // y has rows of pixels
    const BandPlan bands;
    const bool from_rows;  // weights are read where they lie, a vector of rows at a time
    const int participants;

    /// Neither packed nor read as rows, weights are packed block by block.
    bool packs() const { return weights != WeightForm::packed && !from_rows; }

    std::int64_t blocks() const { return ceil_div(shape.depth, depth_block); }
    std::int64_t sums_stride() const { return round_up(bands.rows, kernels.lanes); }
    std::int64_t tasks() const { return bands.tasks; }
    double cycles() const { return bands.cycles; }

  private:
    BandPlan plan(const PlanRequest& request) const {
        BandPlan band{};
        band.box = band.counts = {1, 1, 1};
        const std::int64_t kept = std::max<std::int64_t>(1, blocks()) * panels.width * std::int64_t(sizeof(T));
        const std::int64_t most_panels = std::max<std::int64_t>(1, request.band_bytes / kept);
        const std::int64_t wanted = std::min(ceil_div(request.threads, shape.groups), panels.panels());
        const std::int64_t parts = std::max(ceil_div(panels.panels(), most_panels), wanted);
        band.rows = std::min(shape.out_channels, ceil_div(panels.panels(), parts) * panels.width);
        band.row_parts = ceil_div(shape.out_channels, band.rows);
        band.tasks = shape.groups * band.row_parts;
        const double elements = double(band.rows) * double(shape.depth);
        const double all_bytes =
            double(shape.groups * shape.out_channels) * double(shape.depth * std::int64_t(sizeof(T)));
        const double packing = weights == WeightForm::packed ? 0 : cost::finish * elements;
        band.cycles =
            (cost::task + packing + cost::brought(elements, all_bytes)) * double(ceil_div(band.tasks, request.threads));
        return band;
    }
};

/// The memory of one participant.
template <typename T>
struct OnePixelWorkspace {
    T* x;      // the pixel's channels in a group
    T* sums;   // of each block of depth
    T* panel;  // one block of one panel of weights, or null
    T* rows;   // finished sums

    OnePixelWorkspace(const OnePixelBlocking<T>& blocking, Carver& carver) {
        x = carver.take<T>(std::size_t(blocking.shape.depth));
        sums = carver.take<T>(std::size_t(std::max<std::int64_t>(1, blocking.blocks()) * blocking.sums_stride()));
        panel = blocking.packs()
                    ? carver.take<T>(std::size_t(std::min(blocking.shape.depth, depth_block) * blocking.panels.width))
                    : nullptr;
        rows = blocking.transposes ? nullptr : carver.take<T>(std::size_t(blocking.bands.rows));
    }

    void prepare(const OnePixelBlocking<T>&) const {}
};

}  // namespace flatconv

#endif
