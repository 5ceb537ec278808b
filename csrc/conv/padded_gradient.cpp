// The gradient of the weights as a product for each kernel element: rows are input channels, columns are output
// channels, depth is the positions of all images; asked for by conv/weight_gradient.cpp.
//
// The channels are padded once for a block of positions, and every kernel element reads them where they lie: by one and
// the same table of positions, each from another start.
#include "conv/padded_gradient.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/gradient_parts.hpp"
#include "conv/gradient_plan.hpp"
#include "gemm/gemm.hpp"
#include "im2col/channel_padding.hpp"

namespace flatconv {

namespace {

std::int64_t block_of(const ConvShape& shape) {
    return std::clamp<std::int64_t>(shape.batch * shape.pixels, 1, depth_block);
}

/// A block of positions is walked plane by plane: of each it has a few whole rows, or a part of one that is long.
Extent box_of(const ConvShape& shape) {
    const std::int64_t width = shape.output[2], block = block_of(shape);
    if (width > block) return {1, 1, block};
    return {1, std::min(shape.output[1], (block + width - 2) / width + 1), width};
}

std::int64_t boxes_of(const ConvShape& shape) {
    const std::int64_t width = shape.output[2], block = block_of(shape);
    const std::int64_t run = width > block ? width : width * shape.output[1];
    return std::min((block + run - 2) / run + 1, shape.batch * shape.pixels / run);
}

template <typename T>
class PaddedGradientPlan final : public GradientPlan<T> {
  public:
    explicit PaddedGradientPlan(const PlanRequest& request)
        : GradientPlan<T>(request),
          x_aligned_(request.x_aligned),
          block_(block_of(shape_)),
          box_(box_of(shape_)),
          boxes_(boxes_of(shape_)),
          layout_(shape_, box_),
          channel_stride_(packed_row_stride<T>(boxes_ * layout_.channel_length())),
          width_(std::min<std::int64_t>(kernels_.panel_vectors, ceil_div(shape_.out_channels, kernels_.lanes)) *
                 kernels_.lanes),
          parts_(shape_, shape_.in_channels, request.band_bytes / std::int64_t(sizeof(T)), shape_.taps, channel_stride_,
                 request.threads),
          sums_stride_(round_up(parts_.cols, std::int64_t(kernels_.lanes))) {
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

    struct Memory {
        T* sums;                     // channels × kernel elements × sums_stride_
        T* band;                     // channels × channel_stride_: all boxes of a block, padded
        T* dy;                       // a block of it: for each panel of columns, positions × width_
        std::ptrdiff_t* positions;   // of the block, in the band of a channel,
        std::ptrdiff_t* dy_offsets;  // and in a panel of dy
        ImageBlock* blocks;
    };

    Memory carve(Carver& carver) const {
        const auto rows = std::size_t(parts_.rows), block = std::size_t(block_);
        Memory memory;
        memory.sums = carver.take<T>(rows * std::size_t(shape_.taps * sums_stride_));
        memory.band = carver.take<T>(rows * std::size_t(channel_stride_));
        memory.dy = carver.take<T>(block * std::size_t(round_up(parts_.cols, width_)));
        memory.positions = carver.take<std::ptrdiff_t>(block);
        memory.dy_offsets = carver.take<std::ptrdiff_t>(block);
        memory.blocks = carver.take<ImageBlock>(std::size_t(layout_.most_image_blocks()));
        return memory;
    }

    void run_part(const ConvArrays& arrays, const Runtime& runtime, Carver& carver, std::int64_t index) const override {
        const Memory memory = carve(carver);
        const GradientPart part = parts_.at(index);
        for (std::int64_t d = 0; d < block_; ++d) memory.dy_offsets[d] = d * width_;
        // Lanes without a column are computed too; zeros keep them from being subnormal, and slow.
        std::fill_n(memory.dy, block_ * round_up(part.cols, width_), T(0));
        const std::int64_t first_channel = part.group * shape_.out_channels + part.first_col;
        std::int64_t first = 0;
        // Without depth, one empty block still writes zeros.
        do {
            const std::int64_t length = std::min(block_, depth_ - first);
            pad(arrays.x, part, first, length, memory);
            for (std::int64_t col = 0; col < part.cols; col += width_) {
                if (runtime.cancellation.poll()) return;
                const std::int64_t cols = std::min(width_, part.cols - col);
                T* const dy = memory.dy + col * block_;
                arrays_.read_dy(arrays.weight, {first_channel + col, cols}, first, length, dy, width_, 0);
                multiply_panel(part, dy, col, cols, first > 0, length, memory);
            }
            first += length;
        } while (first < depth_);
        arrays_.write(memory.sums, sums_stride_, {first_channel, part.cols}, part.first_row * shape_.taps,
                      part.rows * shape_.taps, arrays.y);
    }

    /// Pads the part's channels for the positions [first, first + length), and finds these in the bands.
    void pad(const ConstArray& x, const GradientPart& part, std::int64_t first, std::int64_t length,
             const Memory& memory) const {
        const auto [planes, rows, width] = shape_.output;
        for (std::int64_t i = 0, box_index = 0; i < length; ++box_index) {
            const std::int64_t line = (first + i) / width, column = (first + i) % width;
            const std::int64_t row = line % rows, plane = line / rows;
            const bool part_of_row = box_[2] < width;
            const std::int64_t left = std::min(length - i, (part_of_row ? width : (rows - row) * width) - column);
            const PixelBox box{{plane % planes, row, part_of_row ? column : 0},
                               {1, part_of_row ? 1 : ceil_div(column + left, width), part_of_row ? left : width}};
            const std::int64_t at = box_index * layout_.channel_length(), skipped = part_of_row ? 0 : column;
            for (std::int64_t p = 0; p < left; ++p) {
                const std::int64_t position = skipped + p;
                memory.positions[i + p] =
                    std::ptrdiff_t(at + layout_.position_at(0, position / box.size[2], position % box.size[2]));
            }
            pad_box(x, part, plane / planes, box, memory.band + at, memory.blocks);
            i += left;
        }
    }

    void pad_box(const ConstArray& x, const GradientPart& part, std::int64_t image, const PixelBox& box, T* band,
                 ImageBlock* blocks) const {
        const ByteStrides& strides = x.byte_strides;
        const ChannelPadding<T> padding(kernels_, half_x_, layout_, shape_, box, strides, x_aligned_, blocks);
        const auto* const pixels = static_cast<const std::byte*>(x.data) + image * strides[0];
        const std::int64_t first = part.group * shape_.in_channels + part.first_row;
        for (std::int64_t c = 0; c < part.rows; ++c) {
            padding.pad(pixels + shape_.channel_at(strides[1], first + c, sizeof(T)), band + c * channel_stride_, true);
        }
    }

    void multiply_panel(const GradientPart& part, const T* dy, std::int64_t col, std::int64_t cols, bool accumulate,
                        std::int64_t length, const Memory& memory) const {
        ChannelProduct<T> product;
        product.pixels = {nullptr, {1, 1, part.rows}, {0, 0, channel_stride_}};
        product.pixel_offsets = memory.positions;
        product.panel = {dy, memory.dy_offsets};
        product.vectors = int(ceil_div(cols, kernels_.lanes));
        product.depth = length;
        product.sums_step = {0, 0, shape_.taps * sums_stride_};
        product.accumulate = accumulate;
        for (std::int64_t row = 0; row < shape_.taps; ++row) {
            const auto [channel, tap] = arrays_.element_at(row);
            product.pixels.first = memory.band + layout_.tap_at(tap[0], tap[1], tap[2]);
            product.sums = memory.sums + row * sums_stride_ + col;
            multiply<T>(kernels_, product);
        }
    }

    const bool x_aligned_;
    const std::int64_t block_;
    const Extent box_;          // the largest
    const std::int64_t boxes_;  // of a block
    const BandLayout layout_;
    const std::int64_t channel_stride_;
    const std::int64_t width_;  // of a panel of columns
    const GradientParts parts_;
    const std::int64_t sums_stride_;
};

template <typename T>
std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    constexpr std::int64_t least_bytes = 64 * 1024, most_taps = 128;
    const ConvShape& shape = request.shape;
    if (shape.taps > most_taps || request.band_bytes < least_bytes) return nullptr;
    const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
    const bool fills_tiles = 2 * shape.in_channels >= kernels.panel_rows[kernels.panel_vectors - 1];
    // Where kernel elements share few pixels, a row for each of them takes no more memory, and is read faster.
    const bool shares = 3 * BandLayout(shape, box_of(shape)).channel_length() <= 2 * shape.taps * block_of(shape);
    if (!fills_tiles || !shares) return nullptr;
    return std::make_unique<PaddedGradientPlan<T>>(request);
}

}  // namespace

std::unique_ptr<ConvPlan> plan_padded_gradient(const PlanRequest& request) {
    return computes_in_float(request.dtype) ? make_plan<float>(request) : make_plan<double>(request);
}

}  // namespace flatconv
