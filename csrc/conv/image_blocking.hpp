// What the convolution of single channels, each with a kernel of its own, decides where it reads the image as it lies;
// and its transpose.
#ifndef FLATCONV_CONV_IMAGE_BLOCKING_HPP
#define FLATCONV_CONV_IMAGE_BLOCKING_HPP

#include <algorithm>
#include <array>
#include <type_traits>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/line_shape.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

/// A box of the output for the kernels, where all pixels of a channel follow each other; or of lines.
inline ImageBox image_box(const ConvShape& shape, const PixelBox& box) {
    const auto first = [&](std::size_t axis) {
        return shape.mirrored ? box.first[axis] + shape.pad_before[axis]
                              : box.first[axis] * shape.stride[axis] - shape.pad_before[axis];
    };
    return {std::ptrdiff_t(shape.input[2]),
            shape.input[1],
            shape.input[2],
            first(1),
            first(2),
            int(shape.kernel[2]),
            int(shape.stride[2]),
            box.size[1],
            box.size[2],
            std::ptrdiff_t(shape.output[2])};
}

inline ImageBox line_box(const ConvShape& shape, const PixelBox& box) {
    ImageBox lines = image_box(shape, box);
    lines.first_row = box.first[1];
    lines.tap_step = std::ptrdiff_t(shape.mirrored ? -shape.dilation[2] : shape.dilation[2]);
    return lines;
}

template <typename T>
struct ImageBlocking {
    explicit ImageBlocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          lines(finds_lines && is_line(request.shape)),
          shape(lines ? in_lines(request.shape) : request.shape),
          edge_shape(with_all_pixels(shape)),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          bands(plan(request)),
          groups_per_task(groups_at_once(shape, bands, work(bands.box), request.threads)),
          channels_per_poll(std::max<std::int64_t>(1, std::int64_t(1e5 / work(bands.box)))),
          participants(int(std::min<std::int64_t>(request.participants, tasks()))) {}

    /// Words of bytes have no kernel for them.
    static constexpr bool finds_lines = std::is_floating_point_v<T>;

    const Kernels<T>& kernels;
    const bool lines;  // the kernels are rows, and so are the boxes' images
    const ConvShape shape;
    const ConvShape edge_shape;          // bands of it are the padded image, pixel by pixel
    const HalfKernels<T>* const half_x;  // of x; or null
    const HalfKernels<T>* const half_y;  // of y and the residual; or null
    const BandPlan bands;                // of one group
    const std::int64_t groups_per_task;
    const std::int64_t channels_per_poll;  // a question to the application is not free, and a channel may be quick
    const int participants;

    double cycles() const { return bands.cycles; }

    /// Whether halves are read and written where they lie, if no more is done to sums than to keep them in bounds.
    bool keeps_halves() const {
        return half_y && half_y->convolve_image && convolves_halves(shape.kernel[2]) && !shape.mirrored &&
               !repeats_pixels();
    }

    /// Rows of the padded image that the kernel meets in so many rows of the output.
    std::int64_t reach(std::int64_t rows) const { return (rows - 1) * shape.stride[1] + shape.kernel[1]; }

    std::int64_t group_parts() const { return ceil_div(shape.groups, groups_per_task); }
    std::int64_t tasks() const { return shape.batch * bands.boxes() * group_parts(); }

    /// Whether a transpose, for which there is no kernel, is a convolution: that of the image turned by half a circle,
    /// whose result is turned back. Every sum meets the same terms in the same order.
    bool turns() const { return !lines && turns(kernels, shape); }

    /// Rows and columns of zeros before the turned image: what the transpose has behind it.
    static std::int64_t turned_pad(const ConvShape& shape, std::size_t axis) {
        return shape.output[axis] + shape.pad_before[axis] - shape.input[axis];
    }

    /// Whether the padding repeats pixels. The kernels know zeros alone; outputs that meet other padding are computed
    /// from a copy of what they meet, piece by piece.
    bool repeats_pixels() const { return shape.padding_mode != PaddingMode::zeros; }
    static constexpr std::int64_t piece_rows = 16, piece_cols = 256;
    std::int64_t most_piece_elements() const {
        return reach(std::min(piece_rows, bands.box[1])) * reach(std::min(piece_cols, shape.output[2]));
    }

    /// The outputs of an axis, from the first to the one behind the last, whose kernels meet the image alone.
    std::array<std::int64_t, 2> inside(std::size_t axis) const {
        const std::int64_t stride = shape.stride[axis], pad = shape.pad_before[axis], all = shape.output[axis];
        const std::int64_t last = shape.input[axis] + pad - shape.kernel[axis];
        const std::int64_t end = last < 0 ? 0 : std::min(all, last / stride + 1);
        return {std::min(ceil_div(pad, stride), end), end};
    }

    static bool suits(const PlanRequest& request) {
        const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
        if (is_line(request.shape)) {
            return kernels.convolve_image && request.x_pixels_dense && request.y_in_rows && suits_line(request.shape);
        }
        const bool mirrored = request.shape.mirrored;
        const bool transposes = mirrored && !turns(kernels, request.shape);
        const bool has_kernel = transposes ? kernels.transpose_image : kernels.convolve_image;
        const bool x_in_rows = request.x_pixels_dense || (request.x_halves_dense && !mirrored);
        const bool y_in_rows = request.y_in_rows || (request.y_halves_dense && !mirrored);
        const bool halves = halves_of_x<T>(request) || halves_of_y<T>(request);
        const bool zeros = request.shape.padding_mode == PaddingMode::zeros;
        return has_kernel && x_in_rows && y_in_rows && suits_shape(request) && (zeros || !(mirrored || halves));
    }

    /// Short lines are mostly ends. Of a long column each pixel would be loaded for every sum that it is added to; a
    /// direct tile has several rows of these.
    static bool suits_line(const ConvShape& shape) {
        constexpr std::int64_t most_taps_of_columns = 8, least_inside = 192;
        const ConvShape line = in_lines(shape);
        const bool near = shape.kernel[2] == shape.taps || shape.taps <= most_taps_of_columns;
        return near && shape.taps <= depth_block &&
               line.output[2] - (shape.taps - 1) * line.dilation[2] >= least_inside;
    }

    static bool suits_shape(const PlanRequest& request) {
        const ConvShape& shape = request.shape;
        const std::int64_t size = shape.kernel[2], stride = shape.stride[2];
        const bool flat = shape.input[0] == 1 && shape.output[0] == 1 && shape.kernel[0] == 1;
        const bool alone = shape.in_channels == 1 && shape.out_channels == 1;
        const bool square =
            shape.kernel[1] == size && shape.stride[1] == stride && shape.dilation[1] == 1 && shape.dilation[2] == 1;
        const bool of_size = shape.mirrored && !turns(kernels_of<T>(*request.kernels), shape)
                                 ? transposes_images<T>(size, stride)
                                 : convolves_images<T>(size, stride);
        const bool fits = !halves_of_x<T>(request) || fitting_rows(request) >= 1;
        return flat && alone && square && of_size && meets_image(shape) && fits;
    }

  private:
    static ConvShape with_all_pixels(ConvShape shape) {
        shape.stride = {1, 1, 1};
        return shape;
    }

    static bool turns(const Kernels<T>& kernels, const ConvShape& shape) {
        const std::int64_t size = shape.kernel[2];
        const auto padded = [&](std::size_t axis) {
            const std::int64_t pad = turned_pad(shape, axis);
            return shape.stride[axis] == 1 && pad >= 0 && pad < size;
        };
        // Without other orders of lanes, to turn an image takes as long as to convolve it.
        return kernels.picks_channels && shape.mirrored && !transposes_images<T>(size, shape.stride[2]) && padded(1) &&
               padded(2);
    }

    /// Whether all but the first and the last vectors of pixels lie inside the image.
    static bool meets_image(const ConvShape& shape) {
        const std::int64_t size = shape.kernel[2], stride = shape.stride[2], pad = shape.pad_before[2];
        if (!shape.mirrored) return pad < size && (shape.output[2] - 1) * stride - pad < shape.input[2];
        return (pad + shape.output[2] - 1) / stride - (stride == 1 ? size : 1) < shape.input[2];
    }

    /// Of a box, read and written, so that a second pass over it finds it in the second-level cache.
    static constexpr std::int64_t most_bytes = 128 * 1024;
    static constexpr std::int64_t least_rows = 16;    // of a box, which meets rows of its neighbours
    static constexpr std::int64_t least_cols = 4096;  // of one that is a part of a line

    /// Rows of a box; less than one where not even that fits.
    static std::int64_t fitting_rows(const PlanRequest& request) { return fitting_rows(request, request.shape); }
    static std::int64_t fitting_rows(const PlanRequest& request, const ConvShape& shape) {
        // Rows of the image from one row of the output to the next.
        const double stride = shape.mirrored ? 1 / double(shape.stride[1]) : double(shape.stride[1]);
        const double input = double(shape.input[2]);
        const double shared = input * (double(shape.kernel[1]) - stride);
        const double elements = double(std::min(most_bytes, request.band_bytes)) / double(sizeof(T));
        return std::int64_t((elements - shared) / (input * stride + double(shape.output[2])));
    }

    BandPlan plan(const PlanRequest& request) const {
        const int threads = request.threads;
        const std::int64_t channels = shape.batch * shape.groups, wanted = threads == 1 ? 1 : 4 * threads;
        // Rows, or columns of a single one.
        const std::size_t axis = finds_lines && lines && shape.output[1] == 1 ? 2 : 1;
        const std::int64_t fitting =
            axis == 1 ? fitting_rows(request, shape) : most_bytes / std::int64_t(2 * sizeof(T));
        const std::int64_t least = axis == 1 ? least_rows : least_cols, all = shape.output[axis];
        const std::int64_t sharing = std::clamp<std::int64_t>(ceil_div(wanted, channels), 1, ceil_div(all, least));
        const std::int64_t parts = std::max(sharing, ceil_div(all, half_x ? fitting : std::max(fitting, least)));
        BandPlan plan{};
        plan.box = {1, shape.output[1], shape.output[2]};
        plan.box[axis] = ceil_div(all, parts);
        plan.counts = {1, 1, 1};
        plan.counts[axis] = ceil_div(all, plan.box[axis]);
        plan.row_parts = plan.rows = 1;
        plan.tasks = channels * plan.boxes();
        plan.cycles = work(plan.box) * double(ceil_div(plan.tasks, threads));
        return plan;
    }

    /// Cycles of one box: for each of its rows its multiply-adds, or the latency of those of a kernel row, the loads of
    /// the weights, and pulling pixels apart where there is a stride. A transpose does it all by the row of pixels. Of
    /// lines, most loads cross a line of the caches.
    double work(const Extent& box) const {
        const std::int64_t rows = box[1];
        if (finds_lines && lines) {
            const double vectors = double(ceil_div(box[2], kernels.lanes)), taps = double(shape.kernel[2]);
            return double(rows) * (vectors * (2 * taps + cost::store) + 8 * taps + 60) + 60;
        }
        if (keeps_image()) {
            const auto taps = double(shape.kernel[1] * shape.kernel[2]);
            return shape.stride[2] == 1 ? 4.8 * taps + 50 : 6.2 * taps + 105;
        }
        if (turns()) {
            const double turned = double(rows) * double(shape.output[2]) + double(reach(rows)) * double(shape.input[2]);
            return work(rows, shape.output[2]) + 4 * turned / kernels.lanes;
        }
        if (shape.mirrored) return work(ceil_div(rows, shape.stride[1]), shape.output[2] / shape.stride[2]);
        return work(rows, shape.output[2]);
    }

    /// Whether all of a channel is small enough for the registers.
    bool keeps_image() const {
        const Extent first{};
        return kernels.keeps_small_images && !half_x && !shape.mirrored && !repeats_pixels() &&
               is_small_image(image_box(shape, {first, shape.output}));
    }

    double work(std::int64_t rows, std::int64_t cols) const {
        const std::int64_t size = shape.kernel[2], stride = shape.stride[2];
        const std::int64_t vectors = ceil_div(cols, kernels.lanes);
        const double taps = double(size * size), strips = double(ceil_div(vectors, size > 3 ? 2 : 4));
        const double each = double(vectors) / strips;
        // Rows outside the image are left out.
        const bool whole = !shape.mirrored && !repeats_pixels() && rows == shape.output[1];
        const std::int64_t above_and_below = (size - 1) / stride, outside = reach(rows) - shape.input[1];
        const std::int64_t met =
            rows + above_and_below - (whole ? std::clamp<std::int64_t>(outside / stride, 0, above_and_below) : 0);
        const double row = std::max(taps * each, 6 * double(size)) + (stride > 1 ? 10 * each : 0) + taps / 4 + 8;
        // Halves are converted on both ways.
        const double read = half_x ? double(shape.input[2] * stride) : 0,
                     written = half_y ? double(shape.output[2]) : 0;
        const double converted = keeps_halves() ? 0 : double(rows) * (read + written);
        // On both sides, and a part of what lies above and below.
        const double edges = repeats_pixels() ? 4 * cost::pad_row * double(rows) + cost::pad * double(cols) : 0;
        return strips * row * double(met) + 2 * converted / kernels.lanes + edges + 60;
    }
};

/// What one task computes: a box of one image's output, for some groups.
struct ImageTaskBox {
    std::int64_t first_group, end_group;
    std::int64_t image;
    PixelBox box;

    template <typename T>
    ImageTaskBox(const ImageBlocking<T>& blocking, std::int64_t index)
        : first_group(index % blocking.group_parts() * blocking.groups_per_task),
          end_group(std::min(blocking.shape.groups, first_group + blocking.groups_per_task)),
          image(index / blocking.group_parts() % blocking.shape.batch),
          box(blocking.bands.at(blocking.shape, index / blocking.group_parts() / blocking.shape.batch)) {}
};

/// The memory of one participant: halves of a box as they are computed with, what is turned, a padded piece of an edge,
/// or nothing.
template <typename T>
struct ImageWorkspace {
    T* x = nullptr;
    T* y = nullptr;
    T* residual = nullptr;

    ImageWorkspace(const ImageBlocking<T>& blocking, Carver& carver) {
        if (blocking.repeats_pixels()) x = carver.take<T>(std::size_t(blocking.most_piece_elements()));
        const std::int64_t rows = blocking.bands.box[1];
        if (!blocking.half_x && !blocking.turns()) return;
        x = carver.take<T>(
            std::size_t(std::min(blocking.shape.input[1], blocking.reach(rows)) * blocking.shape.input[2]));
        const auto outputs = std::size_t(rows * blocking.shape.output[2]);
        if (blocking.half_y || blocking.turns()) y = carver.take<T>(outputs);
        if (blocking.turns()) residual = carver.take<T>(outputs);
    }
    void prepare(const ImageBlocking<T>&) const {}
};

}  // namespace flatconv

#endif
