// What the transposed product decides before it touches an element, and the memory that it takes.
//
// It computes all phases of an output at once, with lanes across output channels: the phases of a box read the same
// pixels and the same weights, in other pairs. So pixels are padded once for all of them, weights are brought into
// panels once and whole, and each phase finds its own by tables of offsets:
//
//     stride 2, 4 taps, a panel:    channel 0: tap 0 | tap 1 | tap 2 | tap 3    channel 1: tap 0 | …
//     phase of the taps 1, 3                       ^               ^                             each: vectors of
//     phase of the taps 0, 2                ^               ^                           ^        output channels
#ifndef FLATCONV_CONV_TRANSPOSED_BLOCKING_HPP
#define FLATCONV_CONV_TRANSPOSED_BLOCKING_HPP

#include <algorithm>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/joined_images.hpp"
#include "conv/line_order.hpp"
#include "conv/transposed_phases.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

/// Phases with equally many taps along each axis differ in where their first tap and pixel are, and in nothing else.
struct TapPattern {
    Phase example;
    std::int64_t phases;  // how many have it
};

/// A phase, which of the patterns it has, and which part of a layer's packed weights.
struct PatternedPhase {
    Phase phase;
    std::size_t pattern;
    std::size_t packed_part;
};

template <typename T>
struct TransposedBlocking {
    /// The request's shape is that of the product: see transposed().
    explicit TransposedBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          half_panels(halves_of_weights<T>(request)),
          shape(joins_images(request) ? images_as_planes(request.shape) : request.shape),
          panels(weight_sizes(shape), kernels),
          x_aligned(request.x_aligned),
          y_in_rows(request.y_in_rows),
          band_elements(request.band_bytes / std::int64_t(sizeof(T))),
          band_shape(pixels_as_they_are(shape)),
          phases(list_phases(shape, patterns)),
          covers_output(shape.depth > 0 && phases_cover_output(transposed(shape))),
          window(plan_window()),
          line_order(order_of(shape, kernels)),
          bands(plan_bands(shape, {int(panels.width), int(least_columns(shape, kernels))}, band_elements,
                           request.threads, [this](const Extent& box, std::int64_t rows) { return work(box, rows); })),
          layout(band_shape, most_pixels(shape, bands.box)),
          pixel_window(keeps_all_pixels(bands.box) ? shape.in_channels : window),
          pixel_stride(pixel_channel_stride(bands.box)),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))),
          packed(request.weights == WeightForm::packed),
          packs_in_tasks(
              !packed && window_bytes() <= most_window &&
              (shape.batch * bands.boxes() <= 2 * participants || (phases.size() > 1 && !are_near(request)))) {}

    /// Whether memory stays small: of the list of phases, of the pixels that even a small box reads, and of the packed
    /// weights.
    static bool suits(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        if (shape.padding_mode != PaddingMode::zeros) return false;
        // Panels of such ones hold the channels of many groups.
        if (shape.in_channels == 1 && shape.groups > 1) return false;
        std::int64_t phases_in_all = 1;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t along = phases_with_taps(transposed(shape), axis);
            if (along > most_phases / phases_in_all) return false;
            phases_in_all *= along;
        }
        bool has_outputs = false;
        for_each_phase(transposed(shape), [&](const Phase& phase) { has_outputs |= phase.pixels() > 0; });
        if (!has_outputs) return false;
        const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
        double pixels = 1;
        for (const std::int64_t size : most_pixels(shape, {1, 1, least_columns(shape, kernels)})) {
            pixels *= double(size);
        }
        const double channels = double(std::min(shape.in_channels, 2 * depth_block));
        const PanelLayout all(weight_sizes(shape), kernels);
        const double weights = double(shape.groups) * double(all.group_elements());
        return pixels * channels * double(sizeof(T)) <= double(request.band_bytes) &&
               (request.weights == WeightForm::packed || weights * double(sizeof(T)) <= double(most_packed));
    }

    const Kernels<T>& kernels;
    const HalfKernels<T>* const half_x;       // of x; or null
    const HalfKernels<T>* const half_y;       // of y and the residual; or null
    const HalfKernels<T>* const half_panels;  // of weights that are packed in the call; or null
    const ConvShape shape;
    const PanelLayout panels;
    const bool x_aligned;
    const bool y_in_rows;
    const std::int64_t band_elements;
    const ConvShape band_shape;
    std::vector<TapPattern> patterns;
    const std::vector<PatternedPhase> phases;
    const bool covers_output;    // with sums that are not empty
    const std::int64_t window;   // channels that the blocks of depth under way may need at a time
    const LineOrder line_order;  // of the sums
    const BandPlan bands;
    const BandLayout layout;  // of the pixels of one channel
    const std::int64_t pixel_window;
    const std::int64_t pixel_stride;  // from one channel to the next
    const int participants;
    const bool packed;  // the weights, phase by phase
    /// As for ordinary products with lanes across channels: see ChannelBlocking. And where each box would read all
    /// packed panels from memory, a phase only some lines of each: that takes longer than to pack them anew.
    const bool packs_in_tasks;

    std::int64_t tasks() const { return bands.tasks; }
    double cycles() const {
        if (packed) return bands.cycles;
        const double all = cost::finish * double(shape.groups * panels.rows) * double(shape.depth);
        return bands.cycles + all * (packs_in_tasks ? double(shape.batch * bands.boxes()) : 2) / participants;
    }

    /// The pixels that a box of the output reads, as a box of x that may begin and end outside.
    PixelBox pixels_of(const PixelBox& box) const {
        PixelBox pixels;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t reach = (shape.kernel[axis] - 1) * shape.dilation[axis], stride = shape.stride[axis];
            const std::int64_t last = box.first[axis] + box.size[axis] - 1 + shape.pad_before[axis];
            pixels.first[axis] = -floor_div(reach - box.first[axis] - shape.pad_before[axis], stride);
            pixels.size[axis] = floor_div(last, stride) - pixels.first[axis] + 1;
        }
        return pixels;
    }

  private:
    static constexpr std::int64_t most_packed = 64 << 20;  // bytes
    static constexpr std::int64_t most_phases = 1 << 12;   // which a plan lists
    static constexpr std::int64_t most_window = 1 << 20;

    /// Outputs of a line whose phases are full tiles.
    static std::int64_t least_columns(const ConvShape& shape, const Kernels<T>& kernels) {
        return std::min(shape.stride[2], std::int64_t{1} << 16) * kernels.panel_rows[kernels.panel_vectors - 1];
    }

    /// Where all taps of a phase read the same pixel, pixels lie side by side in a band. If lines are no good tiles,
    /// they do so among the sums, too, and tiles need not end with them.
    static LineOrder order_of(const ConvShape& shape, const Kernels<T>& kernels) {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            if (shape.kernel[axis] > shape.stride[axis]) return {};
        }
        const std::int64_t run = ceil_div(shape.output[2], shape.stride[2]);
        const std::int64_t most = kernels.panel_rows[kernels.panel_vectors - 1];
        const std::int64_t rows = even_tile(run, most) * lines_of_tile(run, most);
        return double(rows) > 0.85 * double(most) ? LineOrder{} : LineOrder{shape.stride[0], shape.stride[1]};
    }

    static std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }

    static std::vector<PatternedPhase> list_phases(const ConvShape& shape, std::vector<TapPattern>& patterns) {
        std::vector<PatternedPhase> phases;
        std::size_t index = 0;
        for_each_phase(transposed(shape), [&](const Phase& phase) {
            const std::size_t packed_part = index++;
            if (phase.pixels() == 0) return;
            const auto found = std::find_if(patterns.begin(), patterns.end(), [&](const TapPattern& pattern) {
                return pattern.example.tap_counts() == phase.tap_counts();
            });
            phases.push_back({phase, std::size_t(found - patterns.begin()), packed_part});
            if (found == patterns.end()) {
                patterns.push_back({phase, 1});
            } else {
                ++found->phases;
            }
        });
        return phases;
    }

    /// Blocks of the phases end at different channels. At any time, those that are under way lie within the channels of
    /// the longest, and twice that many make moving them seldom.
    std::int64_t plan_window() const {
        std::int64_t most = 1;
        bool all_end_together = true;
        for (const TapPattern& pattern : patterns) {
            const std::int64_t taps = pattern.example.taps();
            all_end_together &= depth_block % taps == 0;
            most = std::max(most, depth_block % taps == 0 ? depth_block / taps : ceil_div(depth_block - 1, taps) + 1);
        }
        return std::min(all_end_together ? most : 2 * most, shape.in_channels);
    }

    /// Pixels that a box of the output reads along each axis, wherever it lies: where boxes are as wide as the axis, or
    /// begin at multiples of the stride, as many as the first one.
    static Extent most_pixels(const ConvShape& shape, const Extent& box) {
        Extent size;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t reach = (shape.kernel[axis] - 1) * shape.dilation[axis], stride = shape.stride[axis];
            const std::int64_t pad = shape.pad_before[axis], length = std::min(box[axis], shape.output[axis]);
            size[axis] = length == shape.output[axis] || length % stride == 0
                             ? floor_div(length - 1 + pad, stride) + floor_div(reach - pad, stride) + 1
                             : (length - 1 + reach) / stride + 1;
        }
        return size;
    }

    /// An odd number of cache lines, because pixels of different channels are read together.
    static std::int64_t pixel_channel_stride(const ConvShape& shape, const Extent& box) {
        const Extent size = most_pixels(shape, box);
        return packed_row_stride<T>(size[0] * size[1] * size[2]);
    }
    std::int64_t pixel_channel_stride(const Extent& box) const { return pixel_channel_stride(shape, box); }

    bool keeps_all_pixels(const Extent& box) const {
        return double(pixel_channel_stride(box)) * double(shape.in_channels) <= 0.75 * double(band_elements);
    }

    /// Whether the weights fit a cache that all of them together pass through.
    static bool are_near(const PlanRequest& request) {
        const double elements = double(request.shape.groups * request.shape.out_channels) * double(request.shape.depth);
        return elements * double(sizeof(T)) <= 16 * double(second_level_cache);
    }

    /// Small images share a box, and what their weights cost; but a layer's weights that come from memory keep that
    /// busy all the time when images follow each other.
    static bool joins_images(const PlanRequest& request) {
        return request.weights != WeightForm::packed || are_near(request);
    }

    /// Whether the lines that a phase has of a box are one.
    bool joins_lines(const Extent& box) const {
        return !line_order.is_that_of_pixels() && box[2] == shape.output[2] && box[2] % shape.stride[2] == 0 &&
               shape.pad_before[2] % shape.stride[2] == 0;
    }

    double window_bytes() const { return double(window * shape.taps * panels.width) * double(sizeof(T)); }

    BandWork work(const Extent& box, std::int64_t rows) const {
        const double channels = double(shape.in_channels), depth = double(shape.depth);
        const std::int64_t lanes = kernels.lanes, full = rows / panels.width, rest = rows % panels.width;
        std::int64_t run_length = ceil_div(box[2], shape.stride[2]);
        // Of the phases, a box that is not as high as the stride has some.
        double lines = double(box[0] * box[1]) / double(shape.stride[0] * shape.stride[1]);
        const bool joined = joins_lines(box);
        if (joined) {
            const std::int64_t all = ceil_div(box[0], shape.stride[0]) * ceil_div(box[1], shape.stride[1]);
            run_length *= all;
            lines /= double(all);
        }
        const auto panel = [&](std::int64_t vectors) {
            const std::int64_t most = kernels.panel_rows[vectors - 1];
            const std::int64_t at_once = !joined && box[1] > shape.stride[1] ? lines_of_tile(run_length, most) : 1;
            const double run = double(at_once * even_tile(run_length, most));
            const double tiles = double(ceil_div(run_length, most)) / double(at_once);
            double cycles = 0;
            for (const TapPattern& pattern : patterns) {
                const std::int64_t length = shape.in_channels * pattern.example.taps();
                const double blocks = double(ceil_div(length, depth_block));
                cycles += double(pattern.phases) * tiles *
                          (double(length) * cost::tile_depth(run, double(vectors)) +
                           blocks * (cost::tile + cost::store * run * double(vectors)));
            }
            return lines * cycles;
        };
        double tiles = double(full) * panel(kernels.panel_vectors);
        if (rest) tiles += panel(ceil_div(rest, lanes));
        const Extent size = most_pixels(shape, box);
        const double padded = double(size[0] * size[1] * size[2]), padded_rows = double(size[0] * size[1]);
        const bool all = keeps_all_pixels(box);
        const double times = all ? 1 : double(ceil_div(rows, panels.width));
        const double pixels = double(box[0] * box[1] * box[2]);
        return {tiles + times * channels * (cost::pad * padded + cost::pad_row * padded_rows) +
                    cost::weight * double(rows) * depth + cost::finish * pixels * double(round_up(rows, lanes)),
                double(pixel_channel_stride(box)) * double(all ? shape.in_channels : window) +
                    pixels * double(panels.width)};
    }
};

/// The memory of one participant.
template <typename T>
struct TransposedWorkspace {
    ImageBlock* blocks;  // of the image in a box of pixels
    T* pixels;           // the window of channels, padded
    T* weights;          // the window of a panel, or null
    T* sums;             // one row of channels for each output of a box
    T* rows;             // one panel, as rows of outputs; or null
    std::int64_t* done;  // of each phase: the depth that its sums contain

    /// For phases of one pattern: where each depth of a block finds its pixels, and its weights in a panel of so many
    /// vectors, relative to its first channel and to the phase's first tap and pixel.
    struct Tables {
        std::ptrdiff_t* pixels;
        std::ptrdiff_t* weights[max_panel_vectors];  // if the phase has a panel of its own, all of it in order
    };
    TransposedWorkspace(const TransposedBlocking<T>& blocking, Carver& carver) {
        const auto outputs = std::size_t(blocking.bands.box[0] * blocking.bands.box[1] * blocking.bands.box[2]);
        const auto width = std::size_t(blocking.panels.width);
        blocks = carver.take<ImageBlock>(std::size_t(blocking.layout.most_image_blocks()));
        pixels = carver.take<T>(std::size_t(blocking.pixel_window * blocking.pixel_stride));
        weights = blocking.packs_in_tasks ? carver.take<T>(std::size_t(blocking.window * blocking.shape.taps) * width)
                                          : nullptr;
        sums = carver.take<T>(outputs * width);
        rows = blocking.y_in_rows ? nullptr : carver.take<T>(outputs * width);
        done = carver.take<std::int64_t>(blocking.phases.size());
        tables_ = carver.take<std::ptrdiff_t>(table_elements(blocking));
    }

    /// The tables of a pattern. A block may begin at any tap of its first channel.
    Tables tables_of(const TransposedBlocking<T>& blocking, std::size_t pattern) const {
        std::ptrdiff_t* at = tables_;
        for (std::size_t p = 0; p < pattern; ++p) at += tables_per_pattern(blocking) * length_of(blocking, p);
        Tables tables{at, {}};
        for (int v = 0; v < blocking.kernels.panel_vectors; ++v) tables.weights[v] = at += length_of(blocking, pattern);
        return tables;
    }

    void prepare(const TransposedBlocking<T>& blocking) const {
        const Extent& kernel = blocking.shape.kernel;
        for (std::size_t p = 0; p < blocking.patterns.size(); ++p) {
            const Tables tables = tables_of(blocking, p);
            const auto& [d, h, w] = blocking.patterns[p].example.axes;
            const auto pixel = [](const AxisPhase& axis, std::int64_t k) {
                return (axis.taps - 1 - k) * axis.dilation;
            };
            for (std::int64_t i = 0; i < length_of(blocking, p); ++i) {
                const std::int64_t kw = i % w.taps, kh = i / w.taps % h.taps, kd = i / (w.taps * h.taps) % d.taps;
                const std::int64_t channel = i / (w.taps * h.taps * d.taps);
                tables.pixels[i] =
                    std::ptrdiff_t(channel * blocking.pixel_stride +
                                   blocking.layout.position_at(pixel(d, kd), pixel(h, kh), pixel(w, kw)));
                const std::int64_t element =
                    blocking.packed
                        ? i
                        : ((channel * kernel[0] + kd * d.tap_step) * kernel[1] + kh * h.tap_step) * kernel[2] +
                              kw * w.tap_step;
                for (int v = 0; v < blocking.kernels.panel_vectors; ++v) {
                    tables.weights[v][i] = std::ptrdiff_t(element * (v + 1) * blocking.kernels.lanes);
                }
            }
        }
    }

  private:
    static std::int64_t length_of(const TransposedBlocking<T>& blocking, std::size_t pattern) {
        return depth_block + blocking.patterns[pattern].example.taps();
    }
    static std::int64_t tables_per_pattern(const TransposedBlocking<T>& blocking) {
        return 1 + blocking.kernels.panel_vectors;
    }
    static std::size_t table_elements(const TransposedBlocking<T>& blocking) {
        std::int64_t elements = 0;
        for (std::size_t p = 0; p < blocking.patterns.size(); ++p) {
            elements += tables_per_pattern(blocking) * length_of(blocking, p);
        }
        return std::size_t(elements);
    }

    std::ptrdiff_t* tables_;
};

}  // namespace flatconv

#endif
