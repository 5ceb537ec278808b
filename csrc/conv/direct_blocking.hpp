// What the direct convolution decides before it touches an element, and the memory that it takes.
#ifndef FLATCONV_CONV_DIRECT_BLOCKING_HPP
#define FLATCONV_CONV_DIRECT_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct DirectBlocking {
    explicit DirectBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(request.shape),
          x_aligned(request.x_aligned),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          flattens(shape.output[2] <= kernels.lanes && shape.output[1] > 1),
          band_shape(flattens ? shape : with_all_rows(shape)),
          shares_rows(!flattens && shape.stride[1] == shape.dilation[1]),
          y_in_rows(request.y_in_rows),
          strays(request.channels_innermost),
          keeps_sums(flattens || !y_in_rows),
          block(std::clamp<std::int64_t>(shape.depth, 1, depth_block)),
          slots(std::min(shape.in_channels, ceil_div(block - 1, shape.taps) + 1)),
          bands(plan(request)),
          groups_per_task(groups_at_once(shape, bands, work(bands.box).cycles, request.threads)),
          layout(band_shape, band_box({{0, 0, 0}, bands.box}).size),
          blocks_per_poll(std::max<std::int64_t>(1, std::int64_t(1e5 / work(bands.box).cycles))),
          participants(int(std::min<std::int64_t>(request.participants, tasks()))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const bool x_aligned;
    const HalfKernels<T>* const half_x;  // of x; or null
    const HalfKernels<T>* const half_y;  // of y and the residual; or null
    /// Rows that are shorter than a vector are convolved as one, together with what lies between them in the band.
    const bool flattens;
    const ConvShape band_shape;  // the rows of its bands follow each other as in the image
    const bool shares_rows;      // a row of the band is one of the kernel for several rows of pixels
    const bool y_in_rows;        // y, and the residual, has rows of pixels to work in
    const bool strays;           // neighbouring pixels are apart, as where channels are innermost
    const bool keeps_sums;       // in rows of the task's own
    const std::int64_t block;    // of depth
    const std::int64_t slots;    // padded channels that are kept at a time
    const BandPlan bands;        // of one group
    const std::int64_t groups_per_task;
    const BandLayout layout;
    const std::int64_t blocks_per_poll;  // a question to the application is not free, and a block may be short
    const int participants;

    double cycles() const { return bands.cycles; }

    std::int64_t group_parts() const { return ceil_div(shape.groups, groups_per_task); }
    std::int64_t tasks() const { return shape.batch * bands.boxes() * group_parts(); }

    /// A box of the output as one of the positions of `band_shape`, which has one for each row and plane.
    PixelBox band_box(PixelBox box) const {
        if (flattens) return box;
        for (const std::size_t axis : {0, 1}) {
            box.first[axis] *= shape.stride[axis];
            box.size[axis] = (box.size[axis] - 1) * shape.stride[axis] + 1;
        }
        return box;
    }

    /// Rows of pixels from one tile to the next.
    static std::int64_t tile_rows(std::int64_t channels, std::int64_t rows) {
        return std::min<std::int64_t>(direct_rows[channels - 1], rows);
    }

  private:
    static ConvShape with_all_rows(ConvShape shape) {
        shape.stride[0] = shape.stride[1] = 1;
        return shape;
    }

    /// Rectangles of pixels whose band fits the first-level cache, if they can.
    BandPlan plan(const PlanRequest& request) const {
        const std::int64_t unit = kernels.direct_cols;
        const auto [planes, rows, cols] = shape.output;
        BandPlan best{};
        bool best_fits = false;
        for (std::int64_t parts = 1; parts == 1 || ceil_div(cols, parts) >= unit; parts *= 2) {
            const std::int64_t width = parts == 1 ? cols : round_up(ceil_div(cols, parts), unit);
            for (std::int64_t height = 1;; height = std::min(rows, height * 2)) {
                BandPlan band{};
                band.box = {1, height, width};
                for (int axis = 0; axis < max_spatial_rank; ++axis) {
                    band.counts[axis] = ceil_div(shape.output[axis], band.box[axis]);
                }
                band.row_parts = 1;
                band.rows = shape.out_channels;
                const BandWork one = work(band.box);
                const std::int64_t all = shape.batch * shape.groups * band.boxes();
                band.tasks = all;
                band.cycles = (one.cycles + 100) * double(ceil_div(all, request.threads));
                const bool fits =
                    one.elements * double(sizeof(T)) <= double(std::min<std::int64_t>(request.band_bytes, 256 * 1024));
                if (best.tasks == 0 || (fits && (!best_fits || band.cycles < best.cycles))) {
                    best = band;
                    best_fits = fits;
                }
                if (height == rows || !fits) break;
            }
        }
        return best;
    }

    BandWork work(const Extent& box) const {
        const PaddedSize padded = padded_size(band_shape, band_box({{0, 0, 0}, box}).size);
        const std::int64_t channels = std::min<std::int64_t>(shape.out_channels, max_direct_channels);
        // A flattened box is one row, with the gaps of a kernel's width between its rows.
        const std::int64_t cols = flattens ? box[1] * (box[2] + shape.kernel[2] - 1) : box[2];
        const std::int64_t rows = flattens ? 1 : tile_rows(channels, box[1]);
        const auto lines = double(box[0] * (flattens ? 1 : box[1]));
        const auto vectors = double(ceil_div(cols, kernels.lanes));
        const double blocks = double(ceil_div(shape.depth, block)), kernel_rows = double(shape.kernel[1]);
        // Of the kernel, for one sum.
        const double all_rows = double(shape.depth) / double(shape.kernel[2]);
        // For each multiply-add: loads, which mostly cross a cache line and take two cycles.
        const double loads =
            (shares_rows ? (kernel_rows + double(rows) - 1) / (kernel_rows * double(rows)) : 1) / double(channels);
        const double sums = vectors * lines * double(shape.out_channels);
        const double tiles = lines / double(rows) * double(ceil_div(cols, kernels.direct_cols)) *
                             double(ceil_div(shape.out_channels, channels));
        // The latency of a multiply-add takes four sums to hide.
        const double latency = std::max(1.0, 4 / (double(rows * channels) * std::min(vectors, 4.0)));
        const double kept = keeps_sums ? double(cols * shape.out_channels) * double(box[0]) : 0;
        const double elements =
            double(shape.in_channels) * padded.elements + double(shape.out_channels) * double(box[0] * box[1] * box[2]);
        return {(strays ? cost::stray * elements : 0) +
                    sums * (double(shape.depth) * std::max(latency, 0.25 + 2 * loads) + cost::store * blocks) +
                    tiles * (blocks * cost::tile + all_rows * cost::kernel_row) +
                    double(shape.in_channels) * (cost::pad * padded.elements + cost::pad_row + 4 * padded.rows) +
                    cost::pad * kept,
                padded.elements * double(slots) + kept};
    }
};

/// The memory of one participant.
template <typename T>
struct DirectWorkspace {
    ImageBlock* blocks;  // of the image in a band
    T* band;
    KernelRows* kernel_rows;  // of one block of depth
    std::ptrdiff_t* columns;  // of the kernel, in a row of the band
    T* sums;                  // sums_channel_stride for each output channel, or null

    DirectWorkspace(const DirectBlocking<T>& blocking, Carver& carver) {
        const ConvShape& shape = blocking.shape;
        blocks = carver.take<ImageBlock>(std::size_t(blocking.layout.most_image_blocks()));
        // Vectors are read whole, so that the last of a row may run on behind the band's end.
        band = carver.take<T>(
            std::size_t(blocking.slots * blocking.layout.channel_length() + blocking.kernels.direct_cols));
        kernel_rows = carver.take<KernelRows>(std::size_t(ceil_div(blocking.block, shape.kernel[2]) + 1));
        columns = carver.take<std::ptrdiff_t>(std::size_t(shape.kernel[2]));
        const std::int64_t kept = blocking.keeps_sums ? shape.out_channels * sums_channel_stride(blocking) : 0;
        sums = kept ? carver.take<T>(std::size_t(kept)) : nullptr;
    }

    /// From one line of pixels to the next.
    static std::int64_t sums_line_stride(const DirectBlocking<T>& blocking) {
        return blocking.flattens ? blocking.layout.position_at(0, 1, 0) : blocking.bands.box[2];
    }
    static std::int64_t sums_channel_stride(const DirectBlocking<T>& blocking) {
        return blocking.bands.box[0] * blocking.bands.box[1] * sums_line_stride(blocking);
    }

    void prepare(const DirectBlocking<T>& blocking) const {
        AxisBand::Walk walk = blocking.layout.walk_kernel_row(0);
        for (std::int64_t k = 0; k < blocking.shape.kernel[2]; ++k, walk.next()) columns[k] = std::ptrdiff_t(walk.at());
    }
};

}  // namespace flatconv

#endif
