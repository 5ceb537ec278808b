// What the interleaved product decides before it touches an element, and the memory that it takes.
//
// It computes all phases of an output at once, with lanes across pixels. If the outputs of each phase are counted by
// the pixel that their first tap reads, those of one number read the same pixels in every phase. So phases with equally
// many taps are further output channels of one convolution with stride 1, and the rows that it gives are interleaved on
// their way to y:
//
//     stride 2, 4 taps, pad 1:    taps 0 2, the pixels i, i − 1:    (out)  a1  a2  a3 …        y: b0 a1 b1 a2 b2 …
//                                 taps 1 3, the same:                 b0  b1  b2  b3 …
#ifndef FLATCONV_CONV_INTERLEAVED_BLOCKING_HPP
#define FLATCONV_CONV_INTERLEAVED_BLOCKING_HPP

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/transposed_phases.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

/// Phases with equally many taps along each axis: the rows of one matrix, in which those of an output channel follow
/// each other.
struct PhaseRows {
    Phase first;
    std::size_t packed_part;  // of a layer's packed weights, that of the first
    std::int64_t phases;
    std::int64_t before;  // phases in the patterns before this one
};

/// Where the row of a phase is.
struct PhaseRow {
    std::size_t pattern;
    std::int64_t index;
};

template <typename T>
struct InterleavedBlocking {
    /// The request's shape is that of the product: see transposed().
    explicit InterleavedBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          half_rows(halves_of_weights<T>(request)),
          shape(request.shape),
          x_aligned(request.x_aligned),
          y_in_rows(request.y_in_rows),
          packed(request.weights == WeightForm::packed),
          rows(list_rows()),
          strip(plan_strip()),
          reach(reach_of(shape)),
          grid(grid_of(shape)),
          bands(plan_bands(grid, {int(strip), kernels.tile_cols}, request.band_bytes / std::int64_t(sizeof(T)),
                           request.threads,
                           [this](const Extent& box, std::int64_t channels) { return work(box, channels); })),
          band_shape(pixels_as_they_are(shape)),
          layout(band_shape, pixels_of(bands.box, reach)),
          pixel_stride(packed_row_stride<T>(layout.channel_length())),
          part(plan_part()),
          vectors(part[0] * vectors_of(part)),
          sums_stride(packed_row_stride<T>(vectors * kernels.lanes)),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    /// Whether there is something to interleave, and memory stays small: of the pixels that even a small box reads, and
    /// of weights that every participant packs.
    static bool suits(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        if (shape.padding_mode != PaddingMode::zeros || shape.depth == 0) return false;
        // Channels each for themselves are better served by lanes across them.
        if (shape.in_channels == 1 && shape.groups > 1) return false;
        std::int64_t phases = 1;
        bool interleaves = false;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t stride = shape.stride[axis];
            if (stride > 1 && shape.dilation[axis] > 1) return false;
            if (stride > most_phases || (phases *= stride) > most_phases) return false;
            interleaves |= stride > 1;
        }
        if (!interleaves) return false;
        const Extent reach = reach_of(shape);
        const std::int64_t unit = kernels_of<T>(*request.kernels).tile_cols;
        double pixels = double(std::min(unit, grid_of(shape).output[2]) + reach[2]);
        pixels *= double(1 + reach[0]) * double(1 + reach[1]);
        constexpr auto bytes = double(sizeof(T));
        const double weights = double(shape.groups * shape.out_channels) * double(shape.depth);
        return (pixels + 16) * double(shape.in_channels) * bytes <= double(request.band_bytes) &&
               (request.weights == WeightForm::packed || weights * bytes <= most_packed);
    }

    static constexpr std::int64_t most_phases = 64;

    const Kernels<T>& kernels;
    const HalfKernels<T>* const half_x;     // of x; or null
    const HalfKernels<T>* const half_y;     // of y and the residual; or null
    const HalfKernels<T>* const half_rows;  // of weights that are packed in the call; or null
    const ConvShape shape;
    const bool x_aligned;
    const bool y_in_rows;
    const bool packed;  // the weights
    std::vector<PhaseRows> patterns;
    const std::vector<PhaseRow> rows;  // of every phase that has taps, by its taps' residues
    const std::int64_t strip;          // output channels that are finished at a time
    const Extent reach;                // of the longest phase, in pixels
    const ConvShape grid;              // its output are the pixels that first taps read
    const BandPlan bands;              // of the grid
    const ConvShape band_shape;
    const BandLayout layout;  // of the pixels of one channel
    const std::int64_t pixel_stride;
    const Extent part;           // of a box, whose sums are complete, and interleaved, before the next one's
    const std::int64_t vectors;  // of a part
    const std::int64_t sums_stride;
    const int participants;

    std::int64_t tasks() const { return bands.tasks; }
    double cycles() const { return bands.cycles; }

    /// The pixel of x that is the grid's first.
    static std::int64_t first_pixel(const ConvShape& shape, std::size_t axis) {
        return shape.pad_before[axis] / shape.stride[axis];
    }

    static Extent pixels_of(const Extent& box, const Extent& reach) {
        return {box[0] + reach[0], box[1] + reach[1], box[2] + reach[2]};
    }

    /// The pixels that a box of the grid reads, which may begin and end outside of x.
    PixelBox pixels_of(const PixelBox& box) const {
        PixelBox pixels{box.first, pixels_of(box.size, reach)};
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            pixels.first[axis] += first_pixel(shape, axis) - reach[axis];
        }
        return pixels;
    }

    /// The outputs that a box of the grid stands for.
    PixelBox outputs_of(const PixelBox& box) const {
        PixelBox outputs;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t stride = shape.stride[axis];
            const std::int64_t first = (first_pixel(shape, axis) + box.first[axis]) * stride - shape.pad_before[axis];
            outputs.first[axis] = std::max<std::int64_t>(first, 0);
            outputs.size[axis] = std::min(first + box.size[axis] * stride, shape.output[axis]) - outputs.first[axis];
        }
        return outputs;
    }

    /// Elements of the weights as rows, of all groups.
    std::int64_t row_elements() const {
        std::int64_t elements = 0;
        for (const PhaseRows& pattern : patterns) {
            elements += shape.groups * shape.out_channels * pattern.phases * row_stride(pattern);
        }
        return elements;
    }
    std::int64_t depth_of(const PhaseRows& pattern) const { return shape.in_channels * pattern.first.taps(); }
    std::ptrdiff_t row_stride(const PhaseRows& pattern) const { return packed_row_stride<T>(depth_of(pattern)); }

  private:
    static constexpr double most_packed = 1 << 20;  // bytes

    static ConvShape grid_of(ConvShape shape) {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t last = (shape.output[axis] - 1 + shape.pad_before[axis]) / shape.stride[axis];
            shape.output[axis] = last - first_pixel(shape, axis) + 1;
        }
        shape.pixels = shape.output[0] * shape.output[1] * shape.output[2];
        return shape;
    }

    static Extent reach_of(const ConvShape& shape) {
        Extent reach;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const AxisPhase longest = axis_phase(transposed(shape), axis, 0);
            reach[axis] = (longest.taps - 1) * longest.dilation;
        }
        return reach;
    }

    std::vector<PhaseRow> list_rows() {
        std::vector<PhaseRow> all;
        for_each_phase(transposed(shape), [&](const Phase& phase) {
            const auto found = std::find_if(patterns.begin(), patterns.end(), [&](const PhaseRows& pattern) {
                return pattern.first.tap_counts() == phase.tap_counts();
            });
            const auto index = std::size_t(found - patterns.begin());
            if (found == patterns.end()) patterns.push_back({phase, all.size(), 0, 0});
            all.push_back({index, patterns[index].phases++});
        });
        std::int64_t before = 0;
        for (PhaseRows& pattern : patterns) {
            pattern.before = before;
            before += pattern.phases;
        }
        return all;
    }

    /// Lines of a box are convolved as one, together with what lies between them in the band.
    std::int64_t vectors_of(const Extent& box) const {
        return ceil_div((box[1] - 1) * (box[2] + reach[2]) + box[2], kernels.lanes);
    }

    /// For some output channels and a tile's width of pixels. Where pixels are read again and again, it is from the
    /// second-level cache, which takes as long as a few multiply-adds.
    double strip_cycles(std::int64_t channels) const {
        constexpr double load = 13;
        const double tile_vectors = kernels.tile_cols / kernels.lanes;
        const double least = channels < shape.out_channels ? load * tile_vectors : 0;
        double cycles = 0;
        for (const PhaseRows& pattern : patterns) {
            const std::int64_t all = channels * pattern.phases, depth = depth_of(pattern);
            const auto tile_rows = double(even_tile(all, kernels.tile_rows));
            cycles += double(ceil_div(all, kernels.tile_rows)) *
                      (double(depth) * std::max(cost::tile_depth(tile_rows, tile_vectors), least) +
                       double(ceil_div(depth, depth_block)) * (cost::tile + cost::store * tile_rows * tile_vectors));
        }
        return cycles;
    }

    /// Few output channels whose rows are whole tiles.
    std::int64_t plan_strip() const {
        const std::int64_t most = 4 * kernels.tile_rows / std::int64_t(rows.size());
        std::int64_t best = 1;
        for (std::int64_t n = 2; n <= std::min(most, shape.out_channels); ++n) {
            if (strip_cycles(n) / double(n) < 0.98 * strip_cycles(best) / double(best)) best = n;
        }
        return best;
    }

    /// As many lines as make tiles whole, and sums of few pixels: they stay in the first-level cache. Where y takes a
    /// box at a time, all of it.
    Extent plan_part() const {
        const Extent& box = bands.box;
        if (!y_in_rows) return box;
        const std::int64_t least = 4 * kernels.tile_cols;
        const std::int64_t lines = std::min(box[1], ceil_div(least, box[2] + reach[2]));
        return {lines < box[1] ? 1 : std::min(box[0], ceil_div(least, box[1] * (box[2] + reach[2]))), lines, box[2]};
    }

    BandWork work(const Extent& box, std::int64_t channels) const {
        const double across = double(box[0] * vectors_of(box));
        const double tiles = std::ceil(across * double(kernels.lanes) / double(kernels.tile_cols));
        const std::int64_t at_once = std::min(strip, channels);
        const Extent size = pixels_of(box, reach);
        const double padded = double(size[0] * size[1] * size[2]), padded_rows = double(size[0] * size[1]);
        const double lines = double(channels) * double(box[0] * shape.stride[0] * box[1] * shape.stride[1]);
        const double outputs = lines * double(shape.stride[2] * box[2]);
        const double sums = double(at_once * std::int64_t(rows.size()));
        return {tiles * double(channels) / double(at_once) * strip_cycles(at_once) +
                    double(shape.in_channels) * (cost::pad * padded + cost::pad_row * padded_rows) +
                    cost::pad_row * lines + (y_in_rows ? 2 : 5) * cost::finish * outputs +
                    cost::weight * double(channels) * double(shape.depth),
                padded * double(shape.in_channels) + across * double(kernels.lanes) * sums};
    }
};

/// The memory of one participant.
template <typename T>
struct InterleavedWorkspace {
    ImageBlock* blocks;  // of the image in a box of pixels
    T* pixels;           // all channels of the box, padded
    T* weights;          // as rows, or null
    bool* has_weights;
    std::ptrdiff_t* offsets;    // of each pattern: where the depths of a block find their pixels
    VectorOperand<T>* regions;  // of a box
    T* sums;                    // of a strip
    T* zeros;                   // the sums of a phase without taps
    T* row;                     // the outputs of a box, of one channel; or null

    InterleavedWorkspace(const InterleavedBlocking<T>& blocking, Carver& carver) {
        const Extent& box = blocking.bands.box;
        const std::int64_t lanes = blocking.kernels.lanes;
        const auto phases = std::int64_t(blocking.rows.size());
        const auto take = [&](std::int64_t count) { return carver.take<T>(std::size_t(count)); };
        blocks = carver.take<ImageBlock>(std::size_t(blocking.layout.most_image_blocks()));
        // Vectors are read whole, so that the last one of a box may run on behind the pixels' end, and a line behind
        // that of the sums.
        pixels = take(blocking.shape.in_channels * blocking.pixel_stride + lanes);
        weights = blocking.packed ? nullptr : take(blocking.row_elements());
        has_weights = carver.take<bool>(1);
        std::int64_t depths = 0;
        for (const PhaseRows& pattern : blocking.patterns) depths += depth_block + pattern.first.taps();
        offsets = carver.take<std::ptrdiff_t>(std::size_t(depths));
        regions = carver.take<VectorOperand<T>>(std::size_t(blocking.vectors));
        sums = take(blocking.strip * phases * blocking.sums_stride + lanes);
        zeros = take(blocking.sums_stride + lanes);
        std::int64_t outputs = 1;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            outputs *= std::min(box[axis] * blocking.shape.stride[axis], blocking.shape.output[axis]);
        }
        row = blocking.y_in_rows ? nullptr : take(outputs);
    }

    /// A block may begin at any tap of its first channel.
    void prepare(const InterleavedBlocking<T>& blocking) const {
        *has_weights = false;
        std::fill_n(zeros, blocking.sums_stride + blocking.kernels.lanes, T(0));
        std::ptrdiff_t* to = offsets;
        for (const PhaseRows& pattern : blocking.patterns) {
            const auto& [d, h, w] = pattern.first.axes;
            std::ptrdiff_t* const end = to + depth_block + pattern.first.taps();
            for (std::int64_t channel = 0; to < end; channel += blocking.pixel_stride) {
                for (std::int64_t kd = 0; kd < d.taps; ++kd) {
                    for (std::int64_t kh = 0; kh < h.taps; ++kh) {
                        const std::int64_t first =
                            channel + blocking.layout.position_at(blocking.reach[0] - kd * d.dilation,
                                                                  blocking.reach[1] - kh * h.dilation,
                                                                  blocking.reach[2]);
                        for (std::int64_t kw = 0; kw < w.taps && to < end; ++kw) {
                            *to++ = std::ptrdiff_t(first - kw * w.dilation);
                        }
                    }
                }
            }
        }
    }
};

}  // namespace flatconv

#endif
