// The gradient of the weights as a blocked product, transposed: rows are (channel, kernel element), columns are output
// channels, depth is the positions of all images.
//
// This way round, a row of the left operand is what one kernel element meets at successive positions: runs of pixels
// that are copied as they lie. The right operand, dy, is transposed, but it is smaller by as much as a kernel has
// elements.
#include "conv/weight_gradient.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "conv/limited_plan.hpp"
#include "gemm/gemm.hpp"
#include "gemm/transposed_halves.hpp"
#include "im2col/region_row.hpp"

namespace flatconv {

namespace {

/// Whether rows so far apart can be read as elements.
template <typename T>
bool is_aligned(const std::byte* data, std::int64_t stride) {
    return reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0 && stride % std::int64_t(sizeof(T)) == 0;
}

/// How the product of one group is cut. Parts are independent; each walks through all of depth.
struct Parts {
    std::int64_t rows, cols;  // of a part
    std::int64_t row_parts, col_parts;

    Parts(std::int64_t all_rows, std::int64_t all_cols, std::int64_t elements, std::int64_t wanted) {
        constexpr std::int64_t most_cols = 256;  // so that a block of dy stays in the second-level cache
        constexpr std::int64_t least_cols = 16;
        cols = std::max(std::min({all_cols, most_cols, std::max(elements / 8, least_cols)}), std::int64_t{1});
        col_parts = ceil_div(all_cols, cols);
        cols = ceil_div(all_cols, col_parts);
        const std::int64_t most_rows = std::clamp<std::int64_t>(elements / cols, 1, all_rows);
        row_parts = std::min(std::max(ceil_div(all_rows, most_rows), ceil_div(wanted, col_parts)), all_rows);
        rows = ceil_div(all_rows, row_parts);
        row_parts = ceil_div(all_rows, rows);
    }
};

template <typename T>
class WeightGradientPlan final : public ConvPlan {
  public:
    explicit WeightGradientPlan(const PlanRequest& request)
        : kernels_(kernels_of<T>(*request.kernels)),
          half_(half_kernels<T>(request)),
          shape_(request.shape),
          depth_(shape_.batch * shape_.pixels),
          in_place_(request.x_pixels_dense && shape_.reads_pixels_as_they_are()),
          block_(std::clamp<std::int64_t>(depth_, 1, depth_block)),
          parts_(shape_.in_channels * shape_.taps, shape_.out_channels, request.band_bytes / std::int64_t(sizeof(T)),
                 ceil_div(request.threads, shape_.groups)),
          tasks_(shape_.groups * parts_.row_parts * parts_.col_parts),
          participants_(int(std::min<std::int64_t>(request.participants, tasks_))),
          panel_rows_(std::min<std::int64_t>(parts_.rows, panel_tiles * kernels_.tile_rows)),
          panel_stride_(packed_row_stride<T>(block_)),
          sum_stride_(round_up(parts_.cols, std::int64_t(kernels_.lanes))) {
        Carver carver(nullptr);
        carve(carver);
        bytes_per_participant_ = carver.used();
    }

    double cycles() const override {
        return double(shape_.depth) * double(shape_.groups * shape_.out_channels) * double(depth_) / kernels_.lanes;
    }

    std::string describe() const override {
        return std::to_string(tasks_) + " parts of " + std::to_string(parts_.rows) + " kernel elements × " +
               std::to_string(parts_.cols) + " output channels";
    }

    std::size_t workspace_bytes() const override { return bytes_per_participant_ * std::size_t(participants_); }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        parallel::for_each_task(
            runtime.executor, participants_, tasks_,
            [&](int participant, std::int64_t task) {
                Carver carver(workspace + bytes_per_participant_ * std::size_t(participant));
                run_part(arrays, runtime, carve(carver), part_at(task));
            },
            &runtime.cancellation);
    }

  private:
    /// Rows of the left operand that are laid out at a time, in tiles.
    static constexpr int panel_tiles = 8;

    struct Memory {
        T* sums;                  // rows × sum_stride_: the gradient, transposed
        T* panel;                 // panel_rows_ × panel_stride_: some rows of regions, one block of positions
        T* dy;                    // one block of it: for each vector of columns, positions × lanes
        std::ptrdiff_t* offsets;  // of the positions in `dy`
        VectorOperand<T>* vectors;
    };

    struct Part {
        std::int64_t group;
        std::int64_t first_row, rows;
        std::int64_t first_col, cols;
    };

    Memory carve(Carver& carver) const {
        const auto cols = std::size_t(sum_stride_), block = std::size_t(block_);
        Memory memory;
        memory.sums = carver.take<T>(std::size_t(parts_.rows) * cols);
        memory.panel = carver.take<T>(std::size_t(panel_rows_ * panel_stride_));
        memory.dy = carver.take<T>(block * cols);
        memory.offsets = carver.take<std::ptrdiff_t>(block);
        memory.vectors = carver.take<VectorOperand<T>>(cols / std::size_t(kernels_.lanes));
        return memory;
    }

    Part part_at(std::int64_t task) const {
        const std::int64_t row = task % parts_.row_parts * parts_.rows;
        task /= parts_.row_parts;
        const std::int64_t col = task % parts_.col_parts * parts_.cols;
        return {task / parts_.col_parts, row, std::min(parts_.rows, shape_.depth - row), col,
                std::min(parts_.cols, shape_.out_channels - col)};
    }

    void run_part(const ConvArrays& arrays, const Runtime& runtime, const Memory& memory, const Part& part) const {
        const int lanes = kernels_.lanes;
        for (std::int64_t d = 0; d < block_; ++d) memory.offsets[d] = d * lanes;
        for (std::int64_t v = 0; v < ceil_div(part.cols, lanes); ++v) {
            memory.vectors[v] = {memory.dy + v * lanes * block_, memory.offsets};
        }
        // Lanes without a column are computed too; zeros keep them from being subnormal, and slow.
        if (part.cols % lanes != 0) std::fill_n(memory.dy + part.cols / lanes * lanes * block_, lanes * block_, T(0));
        std::int64_t first = 0;
        // Without depth, one empty block still writes zeros.
        do {
            const std::int64_t length = std::min(block_, depth_ - first);
            transpose_dy(arrays.weight, part, first, length, memory);
            for (std::int64_t row = 0; row < part.rows; row += panel_rows_) {
                if (runtime.cancellation.poll()) return;
                const std::int64_t rows = std::min(panel_rows_, part.rows - row);
                multiply<T>(kernels_,
                            {panel_of(arrays.x, part, part.first_row + row, rows, first, length, memory.panel), rows,
                             memory.vectors, part.cols, length, memory.sums + row * sum_stride_, sum_stride_, first > 0,
                             nullptr});
            }
            first += length;
        } while (first < depth_);
        write(memory.sums, part, arrays.y);
    }

    /// Brings a block of dy into vectors of output channels, run by run of positions at one distance.
    void transpose_dy(const ConstArray& dy, const Part& part, std::int64_t first, std::int64_t length,
                      const Memory& memory) const {
        const ByteStrides& strides = dy.byte_strides;
        const bool dense = is_dense(shape_.output, strides, stored_bytes());
        const std::int64_t run = dense ? shape_.pixels : shape_.output[2];
        const std::int64_t step = dense ? stored_bytes() : strides[4];
        const auto* pixels = static_cast<const std::byte*>(dy.data);
        for (std::int64_t i = 0; i < length;) {
            const std::int64_t image = (first + i) / shape_.pixels, position = (first + i) % shape_.pixels;
            const std::int64_t line = position / run, at = position % run;
            const std::int64_t count = std::min(run - at, length - i);
            const std::byte* from = pixels + image * strides[0] + line / shape_.output[1] * strides[2] +
                                    line % shape_.output[1] * strides[3] + at * step;
            transpose_run(from, strides[1], step, part, count, memory.dy + i * kernels_.lanes);
            i += count;
        }
    }

    /// `from` is the run's first position in the first channel of all.
    void transpose_run(const std::byte* from, std::int64_t channel_stride, std::int64_t step, const Part& part,
                       std::int64_t count, T* to) const {
        constexpr std::int64_t bytes = sizeof(T);
        const std::int64_t lanes = kernels_.lanes, first = part.group * shape_.out_channels + part.first_col;
        const auto channel = [&](std::int64_t c) { return from + shape_.channel_at(channel_stride, first + c, bytes); };
        for (std::int64_t col = 0; col < part.cols; col += lanes, to += lanes * block_) {
            const std::int64_t end = std::min(lanes, part.cols - col);
            if (half_) {
                widen_transposed(kernels_, end, count, to, lanes,
                                 [&](std::int64_t r, std::int64_t rows, std::int64_t c, std::int64_t length, T* numbers,
                                     std::int64_t stride) {
                                     half_->widen({channel(col + r) + c * step, channel_stride, step, rows, length,
                                                   numbers, stride});
                                 });
                continue;
            }
            if (shape_.parts == 1 && step == bytes && is_aligned<T>(from, channel_stride)) {
                kernels_.transpose({reinterpret_cast<const T*>(channel(col)), std::ptrdiff_t(channel_stride / bytes),
                                    end, count, to, std::ptrdiff_t(lanes), nullptr});
                continue;
            }
            for (std::int64_t lane = 0; lane < end; ++lane) {
                const std::byte* const pixels = channel(col + lane);
                for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * lanes + lane, pixels + i * step, bytes);
            }
        }
    }

    /// Some rows of regions, over one block of positions: laid out, or where they lie.
    WeightRows<T> panel_of(const ConstArray& x, const Part& part, std::int64_t first_row, std::int64_t rows,
                           std::int64_t first, std::int64_t length, T* panel) const {
        const auto channel_data = [&](std::int64_t channel) {
            return static_cast<const std::byte*>(x.data) +
                   shape_.channel_at(x.byte_strides[1], part.group * shape_.in_channels + channel, sizeof(T));
        };
        if (in_place_ && first / shape_.pixels == (first + length - 1) / shape_.pixels) {
            const std::byte* image = channel_data(first_row) + first / shape_.pixels * x.byte_strides[0];
            return {reinterpret_cast<const T*>(image) + first % shape_.pixels,
                    std::ptrdiff_t(x.byte_strides[1] / std::int64_t(sizeof(T)))};
        }
        for (std::int64_t row = 0; row < rows; ++row) {
            const auto [channel, tap] = element_at(first_row + row);
            RegionRow<T>(half_, shape_, x.byte_strides, tap)
                .write(channel_data(channel), first, first + length, panel + row * panel_stride_);
        }
        return {panel, panel_stride_};
    }

    void write(const T* sums, const Part& part, const Array& dweight) const {
        const ByteStrides& strides = dweight.byte_strides;
        std::byte* const first =
            static_cast<std::byte*>(dweight.data) + (part.group * shape_.out_channels + part.first_col) * strides[0];
        const std::int64_t bytes = stored_bytes();
        const bool rows_are_neighbours =
            is_dense(shape_.kernel, strides, bytes) && (shape_.in_channels == 1 || strides[1] == shape_.taps * bytes);
        if (half_ && rows_are_neighbours) {
            narrow_transposed(kernels_, *half_, sums, sum_stride_, part.rows, part.cols, first + part.first_row * bytes,
                              strides[0]);
            return;
        }
        if (rows_are_neighbours && is_aligned<T>(first, strides[0])) {
            kernels_.transpose({sums, std::ptrdiff_t(sum_stride_), part.rows, part.cols,
                                reinterpret_cast<T*>(first) + part.first_row, std::ptrdiff_t(strides[0] / bytes),
                                nullptr});
            return;
        }
        for (std::int64_t row = 0; row < part.rows; ++row) {
            const auto [channel, tap] = element_at(part.first_row + row);
            std::byte* to =
                first + channel * strides[1] + tap[0] * strides[2] + tap[1] * strides[3] + tap[2] * strides[4];
            if (half_) {
                half_->narrow({sums + row * sum_stride_, 0, 1, part.cols, to, 0, strides[0]});
                continue;
            }
            for (std::int64_t col = 0; col < part.cols; ++col, to += strides[0]) {
                std::memcpy(to, sums + row * sum_stride_ + col, sizeof(T));
            }
        }
    }

    std::int64_t stored_bytes() const { return half_ ? half_bytes : std::int64_t(sizeof(T)); }

    /// The channel and kernel element of a row.
    std::pair<std::int64_t, Extent> element_at(std::int64_t row) const {
        const std::int64_t tap = row % shape_.taps, kernel_w = shape_.kernel[2];
        const std::int64_t line = tap / kernel_w;
        return {row / shape_.taps, {line / shape_.kernel[1], line % shape_.kernel[1], tap % kernel_w}};
    }

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_;  // of all three arrays; or null
    const ConvShape shape_;
    const std::int64_t depth_;  // positions of all images
    const bool in_place_;       // rows of regions are the channels themselves
    const std::int64_t block_;
    const Parts parts_;
    const std::int64_t tasks_;
    const int participants_;
    const std::int64_t panel_rows_;
    const std::ptrdiff_t panel_stride_;
    const std::int64_t sum_stride_;
    std::size_t bytes_per_participant_;
};

std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    if (computes_in_float(request.dtype)) return std::make_unique<WeightGradientPlan<float>>(request);
    return std::make_unique<WeightGradientPlan<double>>(request);
}

}  // namespace

Status plan_weight_gradient(PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                            std::unique_ptr<ConvPlan>& chosen) {
    if (wanted == Algorithm::reference) {
        chosen = plan_weight_gradient_reference(request);
        return {};
    }
    return plan_within(std::move(request), workspace_limit, "gradient", make_plan, chosen);
}

}  // namespace flatconv
