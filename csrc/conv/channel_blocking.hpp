// What the product with lanes across channels decides before it touches an element, and the memory that it takes.
#ifndef FLATCONV_CONV_CHANNEL_BLOCKING_HPP
#define FLATCONV_CONV_CHANNEL_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/joined_images.hpp"
#include "conv/tap_boxes.hpp"
#include "conv/tile_walk.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct ChannelBlocking {
    explicit ChannelBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(images_in_line(request.shape)),
          panels(weight_sizes(shape), kernels),
          weights(request.weights),
          half_panels(halves_of_weights<T>(request)),
          x_aligned(request.x_aligned),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          in_place(request.x_aligned && reads_pixels_in_place(shape) &&
                   !(shape.stride[2] > 1 && gathers(request.channels_innermost))),
          transposes(request.y_in_rows && shape.batch == request.shape.batch),
          strays(request.channels_innermost),
          block(std::clamp<std::int64_t>(shape.depth, 1, depth_block)),
          taps(cheapest_cut()),
          panels_outside(shape.taps == 1 && !taps.leave_out() && shape.in_channels > block &&
                         shape.in_channels <= block + shape.out_channels),
          ring(in_place         ? 0
               : panels_outside ? shape.in_channels
                                : std::min(shape.in_channels, ceil_div(block - 1, shape.taps) + 1)),
          band_shape(without_gaps(shape)),
          bands(plan_bands(
              shape, {int(panels.width), kernels.panel_rows[kernels.panel_vectors - 1]},
              request.band_bytes / std::int64_t(sizeof(T)), request.threads,
              [this](const Extent& box, std::int64_t rows) { return work(box, rows); },
              request.weights == WeightForm::packed)),
          layout(band_shape, band_box({{0, 0, 0}, bands.box}).size),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))),
          packs_in_tasks(
              weights != WeightForm::packed &&
              (shape.batch * bands.boxes() <= 2 * participants ||
               double(shape.groups * panels.rows) * double(shape.depth * std::int64_t(sizeof(T))) > most_packed)) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const PanelLayout panels;
    const WeightForm weights;
    const HalfKernels<T>* const half_panels;  // of weights that tasks pack; or null
    const bool x_aligned;
    const HalfKernels<T>* const half_x;  // of x; or null
    const HalfKernels<T>* const half_y;  // of y and the residual; or null
    const bool in_place;                 // pixels are read from the image
    const bool transposes;               // sums become rows of pixels
    const bool strays;                   // neighbouring pixels are apart, as where channels are innermost
    const std::int64_t block;            // of depth
    const TapBoxes taps;                 // that count
    /// A panel meets all depths before the next one's turn: the band keeps its pixels of all depths, instead of those
    /// of a block and the sums of all panels.
    const bool panels_outside;
    const std::int64_t ring;  // padded channels that are kept at a time
    const ConvShape band_shape;
    const BandPlan bands;
    const BandLayout layout;
    const int participants;
    /// Each task packs the panels that it needs, as it needs them: where few others need the same, that is less than to
    /// write all of them to memory and to read them back. And where all of them together would be large, because memory
    /// is bounded.
    const bool packs_in_tasks;

    /// Pixels are read one by one, from anywhere. So rows need not be pulled apart where a stride leaves no gaps: the
    /// band then has a position for every coordinate, of which the pixels are those at a distance.
    std::int64_t column_step() const { return shape.stride[2] / band_shape.stride[2]; }

    /// The length of kernel rows that lie in the band as neighbours, if whole ones count in a part; or 0.
    int kernel_columns(const TapBox& part) const {
        const bool neighbours = !in_place && band_shape.stride[2] == 1 && shape.dilation[2] == 1 && !shape.mirrored;
        const std::int64_t columns = part.end_tap[2] - part.first_tap[2];
        return neighbours && columns == shape.kernel[2] && block % columns == 0 ? int(columns) : 0;
    }

    /// A box of the output as one of the positions of `band_shape`.
    PixelBox band_box(PixelBox box) const {
        box.first[2] *= column_step();
        box.size[2] = (box.size[2] - 1) * column_step() + 1;
        return box;
    }

    /// Whether the sums of a panel are finished before the next one's are begun.
    bool finishes_panels() const { return shape.depth <= block || panels_outside; }

    /// Whether the tables of offsets of the first block serve all others, which begin behind so many depths of it as
    /// the channels before theirs have not; unless that would make them much longer.
    bool has_one_table() const {
        constexpr std::int64_t most_taps = 128;
        return shape.taps <= most_taps || shape.depth <= block;
    }
    std::int64_t table_length() const {
        return has_one_table() ? std::min(block + shape.taps - 1, shape.depth) : block;
    }

    /// Rows of a part whose sums are kept at a time.
    std::int64_t sum_rows(std::int64_t rows) const {
        return finishes_panels() ? std::min<std::int64_t>(rows, panels.width) : rows;
    }

    /// What each tile has to do with a panel of so many vectors, where so many taps count, and some are neighbours.
    TileDepth tile_depth(double counted, double neighbours, std::int64_t vectors) const {
        // Those meet the same lines of the cache.
        const double reach = (neighbours - 1) * double(shape.dilation[2]) * double(sizeof(T)) / double(cache_line);
        const double panel = double(std::min(shape.depth, block) * vectors * kernels.lanes) * double(sizeof(T));
        return {kernels.panel_rows[vectors - 1],        double(vectors),
                counted * double(shape.in_channels),    double(ceil_div(shape.depth, block)),
                panel <= double(first_level_cache / 2), std::min(1.0, (1 + reach) / neighbours)};
    }
    TileDepth tile_depth(const TapBox& part, std::int64_t vectors) const {
        return tile_depth(double(part.count()), double(shape.kernel[2]), vectors);
    }

    /// Whether tiles fetch the pixels that are padded next: see PixelsAhead.
    bool fetches_pixels() const {
        const double x = double(shape.in_channels) * double(shape.input[0] * shape.input[1] * shape.input[2]);
        const double y = double(shape.out_channels) * double(shape.pixels);
        const double bytes = double(shape.batch * shape.groups) * (x + y) * double(sizeof(T));
        return !in_place && !strays && shape.parts == 1 && x > 0 && bytes > 2 * double(second_level_cache);
    }

    std::int64_t tasks() const { return bands.tasks; }
    double cycles() const {
        if (weights == WeightForm::packed) return bands.cycles;
        const double all = cost::finish * double(shape.groups * panels.rows) * double(shape.depth);
        return bands.cycles + all * (packs_in_tasks ? double(shape.batch * bands.boxes()) : 2) / participants;
    }

  private:
    static constexpr double most_packed = 64 << 20;  // bytes

    /// A kernel of one element that never meets padding.
    static bool reads_pixels_in_place(const ConvShape& shape) {
        for (int axis = 0; axis < max_spatial_rank; ++axis) {
            if (shape.pad_before[axis] > 0 ||
                (shape.output[axis] - 1) * shape.stride[axis] - shape.pad_before[axis] >= shape.input[axis]) {
                return false;
            }
        }
        return shape.taps == 1;
    }

    /// Whether pixels between which a stride leaves gaps are brought together: where as many panels read them that it
    /// pays.
    bool gathers(bool channels_innermost) const {
        constexpr std::int64_t many = 32;
        return !channels_innermost && panels.panels() >= many;
    }

    /// Whether some panels read every other pixel of an x that no cache near the CPU holds.
    bool has_far_gaps() const {
        constexpr std::int64_t some = 8;
        return in_place && !strays && shape.stride[2] > 1 && panels.panels() >= some &&
               x_bytes<T>(shape) > 4 * double(second_level_cache);
    }

    static ConvShape without_gaps(ConvShape shape) {
        if (shape.kernel[2] >= shape.stride[2] && shape.dilation[2] == 1) shape.stride[2] = 1;
        return shape;
    }

    /// The multiply-adds of a part of the output with a panel of so many vectors, in boxes that are no larger.
    double part_cycles(const TapBox& part, const Extent& box, std::int64_t vectors) const {
        Extent size;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            size[axis] = std::min(part.box.size[axis], box[axis]);
        }
        const double boxes = double(part.box.pixels()) / double(size[0] * size[1] * size[2]);
        return boxes * quickest_walk(size, tile_depth(part, vectors)).cycles;
    }

    /// The same of one box, on average over the output.
    double box_cycles(const TapBoxes& cut, const Extent& box, std::int64_t vectors) const {
        if (!cut.cuts_rows()) {
            const double counted = cut.share() * double(shape.taps);
            return quickest_walk(box, tile_depth(counted, double(shape.kernel[2]), vectors)).cycles;
        }
        double cycles = 0;
        cut.for_each_in({{0, 0, 0}, shape.output},
                        [&](const TapBox& part) { cycles += part_cycles(part, box, vectors); });
        return cycles * double(box[0] * box[1] * box[2]) / double(shape.pixels);
    }

    /// Rows are cut where that leaves out more than the shorter tiles cost; nothing is left out where that saves less
    /// than to find out whether the weights are finite.
    TapBoxes cheapest_cut() const {
        TapBoxes rows(shape, 3);
        if (!rows.leave_out()) return rows;
        TapBoxes lines(shape, 2);
        const double all = box_cycles(TapBoxes(shape, 0), shape.output, kernels.panel_vectors);
        double saved = (1 - lines.share()) * all;
        const double gained = saved_by_rows(lines, rows);
        const bool known = weights == WeightForm::packed;
        if (!known && saved + gained <= cost::check * double(shape.depth)) return TapBoxes(shape, 0);
        return gained > 0 ? rows : lines;
    }

    /// What the multiply-adds with a panel gain where rows are cut too; chooses which of `rows`.
    double saved_by_rows(const TapBoxes& lines, TapBoxes& rows) const {
        const auto all_panels = double(panels.panels());
        const double tables = cost::table * double(has_one_table() ? table_length() : shape.depth) / all_panels;
        const auto cycles = [&](const TapBox& part) {
            return part_cycles(part, shape.output, kernels.panel_vectors) + tables;
        };
        double all = 0, saved = 0;
        lines.for_each_in({{0, 0, 0}, shape.output}, [&](const TapBox& part) { all += cycles(part); });
        const double least = std::max(cost::cut_rows * all, cost::plan_rows / all_panels);
        if ((1 - rows.share() / lines.share()) * all < least) return 0;
        rows.choose_rows([&](const TapBox* boxes, std::int64_t count) {
            double cut = 0;
            for (std::int64_t b = 0; b < count; ++b) cut += cycles(boxes[b]);
            const double whole = cycles(boxes[count]);
            saved += std::max(0.0, whole - cut);
            return cut < whole;
        });
        return saved > least ? saved : 0;
    }

    BandWork work(const Extent& box, std::int64_t rows) const {
        const auto pixels = double(box[0] * box[1] * box[2]);
        const double depth = double(shape.depth), channels = double(shape.in_channels);
        const std::int64_t lanes = kernels.lanes, full = rows / panels.width, rest = rows % panels.width;
        const PaddedSize padded = in_place ? PaddedSize{0, 0} : padded_size(shape, box);
        double tiles = full ? double(full) * box_cycles(taps, box, kernels.panel_vectors) : 0;
        if (rest) tiles += box_cycles(taps, box, ceil_div(rest, lanes));
        const double sums = pixels * double(round_up(rows, lanes));
        const double kept = pixels * double(round_up(sum_rows(rows), lanes));
        const double held = double(panels_outside ? shape.in_channels : std::min(shape.in_channels, block));
        const double read = in_place ? pixels * double(shape.stride[2]) * held : padded.elements * double(ring);
        const double gaps = has_far_gaps() ? cost::gap * pixels * channels : 0;
        const double tables =
            taps.leave_out() ? cost::table * double(taps.count() * (has_one_table() ? table_length() : shape.depth))
                             : 0;
        // Where channels are innermost, x is transposed into the band, and sums are as y wants them.
        const double stray = !strays ? 0 : half_x ? cost::stray : cost::finish;
        return {stray * channels * padded.elements + tiles + tables + gaps +
                    channels * (cost::pad * padded.elements + cost::pad_row * padded.rows) +
                    cost::brought(double(rows) * depth,
                                  double(shape.groups * shape.out_channels) * depth * double(sizeof(T))) +
                    (strays && !half_y ? cost::pad : cost::finish) * sums,
                read + kept, in_place ? cost::brought(pixels * channels, x_bytes<T>(shape)) : 0};
    }
};

/// The memory of one participant.
template <typename T>
struct ChannelWorkspace {
    std::int64_t* tables_of;  // the box that all tables were last made for, if they are of all blocks; or -1
    ImageBlock* blocks;       // of the image in a band
    std::int64_t* placed;     // how many of those a band before left; or -1
    T* ring;
    std::ptrdiff_t* offsets;                           // of each depth of a table, in the ring or the image
    std::ptrdiff_t* panel_offsets[max_panel_vectors];  // of each depth in a panel, by its vectors - 1
    std::ptrdiff_t* counted_offsets;                   // both kinds again for each of `taps`, of the depths that count
    T* sums;                                           // one row for each pixel, panel by panel
    T* rows;                                           // one panel, as rows of pixels; or null
    T* panel;                                          // one block of one panel of weights, or null

    ChannelWorkspace(const ChannelBlocking<T>& blocking, Carver& carver) {
        const auto length = std::size_t(blocking.table_length());
        const auto pixels = std::size_t(blocking.bands.box[0] * blocking.bands.box[1] * blocking.bands.box[2]);
        tables_of = carver.take<std::int64_t>(1);
        blocks = carver.take<ImageBlock>(std::size_t(blocking.layout.most_image_blocks()));
        placed = carver.take<std::int64_t>(1);
        ring = carver.take<T>(std::size_t(blocking.ring * blocking.layout.channel_length()));
        offsets = carver.take<std::ptrdiff_t>(length);
        for (int v = 0; v < blocking.kernels.panel_vectors; ++v) panel_offsets[v] = carver.take<std::ptrdiff_t>(length);
        counted_offsets = carver.take<std::ptrdiff_t>(std::size_t(counted_tables(blocking)) * length);
        sums = carver.take<T>(pixels *
                              std::size_t(round_up(blocking.sum_rows(blocking.bands.rows), blocking.kernels.lanes)));
        panel = blocking.packs_in_tasks ? carver.take<T>(length * std::size_t(blocking.panels.width)) : nullptr;
        rows = blocking.transposes ? nullptr : carver.take<T>(pixels * std::size_t(blocking.panels.width));
    }

    static std::int64_t counted_tables(const ChannelBlocking<T>& blocking) {
        return blocking.taps.leave_out() ? blocking.taps.count() * (1 + blocking.kernels.panel_vectors) : 0;
    }

    void prepare(const ChannelBlocking<T>& blocking) const {
        *tables_of = -1;
        *placed = -1;
        for (int v = 0; v < blocking.kernels.panel_vectors; ++v) {
            for (std::int64_t d = 0; d < blocking.table_length(); ++d) {
                panel_offsets[v][d] = std::ptrdiff_t(d * (v + 1) * blocking.kernels.lanes);
            }
        }
    }
};

}  // namespace flatconv

#endif
