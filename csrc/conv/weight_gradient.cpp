// The gradient of the weights as a blocked product, transposed: rows are (channel, kernel element), columns are output
// channels, depth is the positions of all images.
//
// Where kernel elements share pixels, or groups have few channels, there are better ways: padded_gradient.cpp
// and channelwise_gradient.cpp.
//
// This way round, a row of the left operand is what one kernel element meets at successive positions: runs of pixels
// that are copied as they lie. The right operand, dy, is transposed, but it is smaller by as much as a kernel has
// elements.
#include "conv/weight_gradient.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "conv/channelwise_gradient.hpp"
#include "conv/gradient_parts.hpp"
#include "conv/gradient_plan.hpp"
#include "conv/limited_plan.hpp"
#include "conv/padded_gradient.hpp"
#include "gemm/gemm.hpp"
#include "im2col/region_row.hpp"

namespace flatconv {

namespace {

template <typename T>
class WeightGradientPlan final : public GradientPlan<T> {
  public:
    explicit WeightGradientPlan(const PlanRequest& request)
        : GradientPlan<T>(request),
          in_place_(request.x_pixels_dense && shape_.reads_pixels_as_they_are()),
          block_(std::clamp<std::int64_t>(depth_, 1, depth_block)),
          parts_(shape_, shape_.in_channels * shape_.taps, request.band_bytes / std::int64_t(sizeof(T)), 1, 0,
                 request.threads),
          panel_rows_(std::min<std::int64_t>(parts_.rows, panel_tiles * kernels_.tile_rows)),
          panel_stride_(packed_row_stride<T>(block_)),
          sum_stride_(round_up(parts_.cols, std::int64_t(kernels_.lanes))) {
        Carver carver(nullptr);
        carve(carver);
        this->set_parts(parts_.count(), carver);
    }

  private:
    using GradientPlan<T>::arrays_;
    using GradientPlan<T>::depth_;
    using GradientPlan<T>::half_x_;
    using GradientPlan<T>::kernels_;
    using GradientPlan<T>::shape_;

    /// Rows of the left operand that are laid out at a time, in tiles.
    static constexpr int panel_tiles = 8;

    struct Memory {
        T* sums;                  // rows × sum_stride_: the gradient, transposed
        T* panel;                 // panel_rows_ × panel_stride_: some rows of regions, one block of positions
        T* dy;                    // one block of it: for each vector of columns, positions × lanes
        std::ptrdiff_t* offsets;  // of the positions in `dy`
        VectorOperand<T>* vectors;
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

    typename GradientArrays<T>::Channels channels_of(const GradientPart& part) const {
        return {part.group * shape_.out_channels + part.first_col, part.cols};
    }

    void run_part(const ConvArrays& arrays, const Runtime& runtime, Carver& carver, std::int64_t index) const override {
        const Memory memory = carve(carver);
        const GradientPart part = parts_.at(index);
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
            if (chains_suit(arrays.weight, part, first, length)) {
                if (runtime.cancellation.poll()) return;
                chain(arrays, part, first, length, memory);
                first += length;
                continue;
            }
            arrays_.read_dy(arrays.weight, channels_of(part), first, length, memory.dy, kernels_.lanes,
                            kernels_.lanes * block_);
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
        arrays_.write(memory.sums, sum_stride_, channels_of(part), part.first_row, part.rows, arrays.y);
    }

    /// Whether a block of a single row of regions is a matrix, channels of dy as they lie, times a vector.
    bool chains_suit(const ConstArray& dy, const GradientPart& part, std::int64_t first, std::int64_t length) const {
        const bool whole = length >= kernels_.lanes && part.cols >= kernels_.lanes;
        return part.rows == 1 && whole && first / shape_.pixels == (first + length - 1) / shape_.pixels &&
               arrays_.has_neighbouring_positions(dy);
    }

    void chain(const ConvArrays& arrays, const GradientPart& part, std::int64_t first, std::int64_t length,
               const Memory& memory) const {
        const ByteStrides& strides = arrays.weight.byte_strides;
        const std::ptrdiff_t stride = strides[1] / std::int64_t(sizeof(T));
        const auto* const image = static_cast<const std::byte*>(arrays.weight.data) +
                                  first / shape_.pixels * strides[0] + channels_of(part).first * strides[1];
        const T* const dy = reinterpret_cast<const T*>(image) + first % shape_.pixels;
        const T* const x = panel_of(arrays.x, part, part.first_row, 1, first, length, memory.panel).data;
        constexpr std::int64_t side_by_side = 4;
        PixelChain<T> chains[side_by_side];
        int count = 0;
        const std::int64_t lanes = kernels_.lanes, whole = round_up(part.cols, lanes), last = part.cols % lanes;
        for (std::int64_t col = 0; col < part.cols; col += lanes) {
            // The last channels are no whole vector: some before them are computed once more.
            chains[count++] = {x, dy + std::min(col, part.cols - lanes) * stride, memory.dy + col};
            if (count < side_by_side && col + lanes < part.cols) continue;
            kernels_.chain_rows({chains, count, length, 1, stride});
            count = 0;
        }
        std::copy_n(memory.dy + whole - last, last, memory.dy + part.cols - last);
        for (std::int64_t col = 0; col < part.cols; ++col) {
            memory.sums[col] = first > 0 ? memory.sums[col] + memory.dy[col] : memory.dy[col];
        }
    }

    /// Some rows of regions, over one block of positions: laid out, or where they lie.
    WeightRows<T> panel_of(const ConstArray& x, const GradientPart& part, std::int64_t first_row, std::int64_t rows,
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
            const auto [channel, tap] = arrays_.element_at(first_row + row);
            RegionRow<T>(kernels_, half_x_, shape_, x.byte_strides, tap)
                .write(channel_data(channel), first, first + length, panel + row * panel_stride_);
        }
        return {panel, panel_stride_};
    }

    const bool in_place_;  // rows of regions are the channels themselves
    const std::int64_t block_;
    const GradientParts parts_;
    const std::int64_t panel_rows_;
    const std::ptrdiff_t panel_stride_;
    const std::int64_t sum_stride_;
};

std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    if (auto plan = plan_channelwise_gradient(request)) return plan;
    if (auto plan = plan_padded_gradient(request)) return plan;
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
