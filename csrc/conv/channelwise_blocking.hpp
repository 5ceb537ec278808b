// What the convolution of groups of one or a few input channels, with lanes across the output channels of many groups,
// decides before it touches an element, and the memory that it takes.
#ifndef FLATCONV_CONV_CHANNELWISE_BLOCKING_HPP
#define FLATCONV_CONV_CHANNELWISE_BLOCKING_HPP

#include <algorithm>

#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/vector_band.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct ChannelwiseBlocking {
    explicit ChannelwiseBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          shape(one_group(request.shape)),
          band_shape(VectorBandPlan<T>::without_gaps(shape)),
          multiplier(request.shape.out_channels),
          from_panels(shape.in_channels == 1),
          panels(panel_sizes(weight_sizes(request.shape)), kernels),
          weights(request.weights),
          spreads(VectorBandPlan<T>::can_spread(request)),
          y_in_rows(request.y_in_rows),
          block(std::clamp<std::int64_t>(shape.depth, 1, depth_block)),
          bands(plan_bands(shape, {kernels.lanes, kernels.lanes},
                           std::min<std::int64_t>(request.band_bytes, most_band_bytes) / std::int64_t(sizeof(T)),
                           request.threads, [this](const Extent& box, std::int64_t rows) { return work(box, rows); })),
          bringing(request, band_shape, band_box({{0, 0, 0}, bands.box}).size),
          vectors_per_poll(std::max<std::int64_t>(1, std::int64_t(1e5 / work(bands.box, kernels.lanes).cycles))),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    /// Groups of several channels: whole ones in a vector of output channels, and the same channels of x in one of
    /// pixels.
    static bool suits(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        if (shape.groups == 1) return false;
        if (shape.in_channels == 1) return true;
        const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
        const std::int64_t lanes = kernels.lanes, inner = shape.in_channels, outer = shape.out_channels;
        const bool few = inner <= outer && 2 * outer <= lanes && lanes % outer == 0 && shape.groups * outer >= lanes;
        const bool picks = kernels.picks_channels && shape.kernel[2] == 3 && shape.dilation[2] == 1 &&
                           shape.stride[2] <= 2 && !shape.mirrored && shape.parts == 1;
        return few && picks && shape.depth > 0 && shape.depth <= depth_block;
    }

    const Kernels<T>& kernels;
    const HalfKernels<T>* const half_x;  // of x; or null
    const HalfKernels<T>* const half_y;  // of y and the residual; or null
    const ConvShape shape;  // all output channels are of one group, of which each has so many input channels
    /// Where a stride leaves no gaps, the band has a position for every coordinate, of which the pixels are those at a
    /// distance.
    const ConvShape band_shape;
    const std::int64_t multiplier;  // output channels of each group
    /// Of groups of a single input channel there are panels across the groups; else weights are brought into their
    /// order vector by vector.
    const bool from_panels;
    const PanelLayout panels;
    const WeightForm weights;
    const bool spreads;  // see VectorBandPlan
    const bool y_in_rows;
    const std::int64_t block;  // of depth
    const BandPlan bands;
    const VectorBandPlan<T> bringing;
    const std::int64_t vectors_per_poll;  // a question to the application is not free, and a vector may be quick
    const int participants;

    std::int64_t tasks() const { return bands.tasks; }

    double cycles() const {
        if (weights == WeightForm::packed) return bands.cycles;
        return bands.cycles + 2 * cost::finish * double(shape.out_channels) * double(shape.depth) / participants;
    }

    /// From a pixel to the next along an axis, in positions of the band.
    std::int64_t step(std::size_t axis) const { return shape.stride[axis] / band_shape.stride[axis]; }

    /// A box of the output as one of the positions of `band_shape`.
    PixelBox band_box(PixelBox box) const {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            box.first[axis] *= step(axis);
            box.size[axis] = (box.size[axis] - 1) * step(axis) + 1;
        }
        return box;
    }

    /// Of kernel rows that read neighbouring positions in every block of depth; or 0.
    std::int64_t kernel_columns() const {
        const bool neighbours = shape.dilation[2] == 1 && band_shape.stride[2] == 1 && !shape.mirrored;
        return neighbours && shape.depth <= block ? shape.kernel[2] : 0;
    }

  private:
    /// A band and its sums are read again at once: they should stay in the first-level cache.
    static constexpr std::int64_t most_band_bytes = 64 * 1024;

    BandWork work(const Extent& box, std::int64_t rows) const {
        const auto pixels = double(box[0] * box[1] * box[2]), lines = double(box[0] * box[1]);
        const double blocks = double(ceil_div(shape.depth, block)), lanes = kernels.lanes;
        const PaddedSize padded = padded_size(band_shape, band_box({{0, 0, 0}, box}).size);
        const double spread = !spreads ? 4 * cost::finish : from_panels ? cost::finish : cost::pad;
        const double run = double(even_tile(box[2], 8)), runs = lines * double(ceil_div(box[2], 8));
        const double vector = runs * (double(shape.depth) * std::max(8.0, run + 1) + blocks * (cost::tile + 2 * run)) +
                              2 * cost::finish * lanes * pixels + spread * lanes * padded.elements + 300;
        return {vector * double(ceil_div(rows, kernels.lanes)),
                lanes * (padded.elements * (spreads && !half_x ? 1 : 2) + pixels * (y_in_rows ? 1 : 2))};
    }
};

/// The memory of one participant.
template <typename T>
struct ChannelwiseWorkspace {
    VectorBandMemory<T> vectors;
    std::ptrdiff_t* offsets;  // of each depth of the block, in the band
    T* sums;                  // a vector of channels for each pixel
    T* rows;                  // the same as rows of pixels, or null
    T* weights;               // a vector of channels for each depth; or null
    std::int32_t* places;     // among a pixel's channels, of each input channel of all lanes' groups; or null

    ChannelwiseWorkspace(const ChannelwiseBlocking<T>& blocking, Carver& carver)
        : vectors(blocking.bringing, 1, carver) {
        const auto lanes = std::size_t(blocking.kernels.lanes);
        const auto pixels = std::size_t(blocking.bands.box[0] * blocking.bands.box[1] * blocking.bands.box[2]);
        offsets = carver.take<std::ptrdiff_t>(std::size_t(blocking.block));
        sums = carver.take<T>(lanes * pixels);
        rows = blocking.y_in_rows ? nullptr : carver.take<T>(lanes * pixels);
        const auto channels = std::size_t(blocking.shape.in_channels);
        weights = blocking.from_panels ? nullptr : carver.take<T>(lanes * std::size_t(blocking.shape.depth));
        places = blocking.from_panels ? nullptr : carver.take<std::int32_t>(lanes * channels);
    }

    void prepare(const ChannelwiseBlocking<T>& blocking) const {
        const std::int64_t lanes = blocking.kernels.lanes, channels = blocking.shape.in_channels;
        for (std::int64_t i = 0; places && i < channels * lanes; ++i) {
            places[i] = std::int32_t(i % lanes / blocking.multiplier * channels + i / lanes);
        }
    }
};

}  // namespace flatconv

#endif
