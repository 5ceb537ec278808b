// The gradient of the weights of groups of one or a few channels, with lanes across the output channels of many groups;
// asked for by conv/weight_gradient.cpp.
//
// As products of matrices such groups would have a column or two. Here every position is a vector of channels, of dy
// and of the padded image, and one multiply-add brings a kernel element's sums for all of them from one position to the
// next. Where groups have several input channels, there is such an image for each: the first channels of the lanes'
// groups, the second ones, and so on.
#include "conv/channelwise_gradient.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "conv/gradient_plan.hpp"
#include "conv/vector_band.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

namespace {

template <typename T>
class ChannelwiseGradientPlan final : public GradientPlan<T> {
  public:
    explicit ChannelwiseGradientPlan(const PlanRequest& request)
        : GradientPlan<T>(request),
          band_shape_(VectorBandPlan<T>::without_gaps(shape_)),
          channels_(shape_.groups * shape_.out_channels),
          channels_of_part_(kernels_.lanes * (request.threads == 1 ? ceil_div(channels_, kernels_.lanes) : 1)),
          rolls_(VectorBandPlan<T>::can_spread(request) && can_roll()),
          box_(box_within(std::min(request.band_bytes, rolls_ ? most_rolling_bytes : most_box_bytes))),
          bringing_(request, band_shape_, band_box({{0, 0, 0}, box_}).size) {
        Carver carver(nullptr);
        Memory(*this, carver);
        this->set_parts(ceil_div(channels_, channels_of_part_), carver);
    }

  private:
    using GradientPlan<T>::arrays_;
    using GradientPlan<T>::depth_;
    using GradientPlan<T>::kernels_;
    using GradientPlan<T>::shape_;

    /// The image is transposed into bands, and dy beside it: both are read again at once, for every kernel element.
    static constexpr std::int64_t most_box_bytes = 384 * 1024;
    /// Where the rows that a box shares with the one above are kept, it may be small: all stays in the first-level
    /// cache.
    static constexpr std::int64_t most_rolling_bytes = 48 * 1024;

    struct Memory {
        VectorBandMemory<T> vectors;  // a band for each input channel of a group
        T* dy;                        // a vector of channels for each position of a box
        std::ptrdiff_t* offsets;      // of the kernel elements of all input channels in the bands
        T* block;                     // sums over the present block of positions, a vector for each kernel element,
        T* sums;                      // and over those before

        Memory(const ChannelwiseGradientPlan& plan, Carver& carver)
            : vectors(plan.bringing_, plan.shape_.in_channels, carver) {
            const auto lanes = std::size_t(plan.kernels_.lanes), elements = std::size_t(plan.shape_.depth);
            dy = carver.take<T>(lanes * std::size_t(plan.box_[1] * plan.box_[2]));
            offsets = carver.take<std::ptrdiff_t>(elements);
            block = carver.take<T>(lanes * elements);
            sums = carver.take<T>(lanes * elements);
        }
    };

    struct Part {
        const Memory memory;
        const typename GradientArrays<T>::Channels channels;
        std::int64_t positions = 0;  // that are summed already
    };

    /// From a position to the next along an axis, in the band.
    std::int64_t step(std::size_t axis) const { return shape_.stride[axis] / band_shape_.stride[axis]; }

    /// A box of positions as one of those of `band_shape_`.
    PixelBox band_box(PixelBox box) const {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            box.first[axis] *= step(axis);
            box.size[axis] = (box.size[axis] - 1) * step(axis) + 1;
        }
        return box;
    }

    /// Whether rows of the band are those of the padded image, so that two boxes, one below the other, share some. The
    /// bands of several input channels fit no small memory anyway.
    bool can_roll() const {
        const Extent& stride = band_shape_.stride;
        return shape_.in_channels == 1 && shape_.kernel[0] == 1 && stride[1] == 1 && stride[2] == 1 &&
               shape_.dilation[1] == 1 && shape_.dilation[2] == 1 && shape_.kernel[1] >= step(1);
    }

    /// The largest box, of rows or else within one, whose bands and dy are no larger.
    Extent box_within(std::int64_t bytes) const {
        Extent box{1, std::max<std::int64_t>(shape_.output[1], 1), std::max<std::int64_t>(shape_.output[2], 1)};
        const auto elements = [&] {
            const BandLayout layout(band_shape_, band_box({{0, 0, 0}, box}).size);
            return (shape_.in_channels + (rolls_ ? 0 : 1)) * layout.channel_length() + box[1] * box[2];
        };
        for (const auto axis : {std::size_t{1}, std::size_t{2}}) {
            while (box[axis] > 1 && elements() * kernels_.lanes * std::int64_t(sizeof(T)) > bytes) {
                box[axis] = ceil_div(box[axis], 2);
            }
        }
        return box;
    }

    void run_part(const ConvArrays& arrays, const Runtime& runtime, Carver& carver, std::int64_t index) const override {
        const Memory memory(*this, carver);
        for (std::int64_t element = 0; element < shape_.depth; ++element) {
            const auto [channel, at] = arrays_.element_at(element);
            memory.offsets[element] = std::ptrdiff_t(channel * bringing_.band_elements() +
                                                     bringing_.layout.tap_at(at[0], at[1], at[2]) * kernels_.lanes);
        }
        const std::int64_t numbers = shape_.depth * kernels_.lanes;
        // Lanes without a channel are computed too; zeros keep them from being subnormal, and slow.
        std::fill_n(memory.dy, kernels_.lanes * box_[1] * box_[2], T(0));
        VectorBand<T> band(bringing_, memory.vectors, shape_.in_channels, arrays.x.byte_strides);
        const std::int64_t begin = index * channels_of_part_, end = std::min(begin + channels_of_part_, channels_);
        for (std::int64_t first = begin; first < end; first += kernels_.lanes) {
            Part part{memory, {first, std::min<std::int64_t>(kernels_.lanes, end - first)}};
            std::fill_n(memory.sums, numbers, T(0));
            if (!sum(arrays, runtime, part, band)) return;
            arrays_.write(memory.sums, kernels_.lanes, part.channels, 0, shape_.depth, arrays.y);
        }
    }

    /// Over all positions; returns whether nobody wants it to stop.
    bool sum(const ConvArrays& arrays, const Runtime& runtime, Part& part, VectorBand<T>& band) const {
        for (std::int64_t image = 0; image < shape_.batch; ++image) {
            for (std::int64_t d = 0; d < shape_.output[0]; ++d) {
                for (std::int64_t h = 0; h < shape_.output[1]; h += box_[1]) {
                    for (std::int64_t w = 0; w < shape_.output[2]; w += box_[2]) {
                        if (runtime.cancellation.poll()) return false;
                        const PixelBox box{
                            {d, h, w},
                            {1, std::min(box_[1], shape_.output[1] - h), std::min(box_[2], shape_.output[2] - w)}};
                        bring(arrays, part, band, image, box);
                        add(part, box);
                    }
                }
            }
        }
        return true;
    }

    /// What a box reads, as vectors of channels: of each lane's group one input channel after the other.
    void bring(const ConvArrays& arrays, const Part& part, VectorBand<T>& band, std::int64_t image,
               const PixelBox& box) const {
        const auto [first, count] = part.channels;
        const std::int64_t in_channels = shape_.in_channels, out_channels = shape_.out_channels, lane = first;
        const ByteStrides& strides = arrays.x.byte_strides;
        const auto* const pixels = static_cast<const std::byte*>(arrays.x.data) + image * strides[0];
        const auto band_of = [&](std::int64_t channel) {
            return part.memory.vectors.bands + channel * bringing_.band_elements();
        };
        // The last rows of the box above are the first ones of this.
        const bool follows = rolls_ && box.first[1] > 0 && box_[2] == shape_.output[2];
        const std::int64_t known = follows ? shape_.kernel[1] - step(1) : 0;
        const std::int64_t row = bringing_.layout.position_at(0, 1, 0) * kernels_.lanes;
        if (known > 0) {
            std::memmove(band_of(0), band_of(0) + box_[1] * step(1) * row, std::size_t(known * row) * sizeof(T));
        }
        band.place(band_box(box));
        for (std::int64_t channel = 0; channel < in_channels; ++channel) {
            const auto channel_of = [&](std::int64_t c) {
                const std::int64_t of_x = (lane + c) / out_channels * in_channels + channel;
                return pixels + shape_.channel_at(strides[1], of_x, sizeof(T));
            };
            band.bring(count, in_channels * out_channels == 1, channel_of, band_of(channel), known);
        }
        arrays_.read_dy(arrays.weight, part.channels, part.positions, box.pixels(), part.memory.dy, kernels_.lanes, 0);
    }

    /// Adds the box's positions to the sums, a run of whole rows, or the rest of one, at a time; blocks end anywhere.
    void add(Part& part, const PixelBox& box) const {
        const std::int64_t width = box.size[2];
        ChannelwiseGradient<T> gradient;
        const BandLayout& layout = bringing_.layout;
        gradient.row_step = std::ptrdiff_t(layout.position_at(0, step(1), 0) * kernels_.lanes);
        gradient.column_step = std::ptrdiff_t(step(2) * kernels_.lanes);
        gradient.offsets = part.memory.offsets;
        gradient.taps = shape_.depth;
        const bool neighbours = band_shape_.stride[2] == 1 && shape_.dilation[2] == 1;
        gradient.kernel_columns = neighbours ? shape_.kernel[2] : 0;
        gradient.block = part.memory.block;
        for (std::int64_t at = 0; at < box.pixels(); at += gradient.rows * gradient.cols) {
            const std::int64_t left = std::min(box.pixels() - at, depth_block - part.positions % depth_block);
            const bool whole = at % width == 0 && left >= width;
            gradient.rows = whole ? left / width : 1;
            gradient.cols = whole ? width : std::min(left, width - at % width);
            gradient.band = part.memory.vectors.bands +
                            layout.position_at(0, at / width * step(1), at % width * step(2)) * kernels_.lanes;
            gradient.dy = part.memory.dy + at * kernels_.lanes;
            const std::int64_t end = part.positions + gradient.rows * gradient.cols;
            gradient.begins = part.positions % depth_block == 0;
            gradient.accumulates = part.positions >= depth_block;
            gradient.sums = end % depth_block == 0 || end == depth_ ? part.memory.sums : nullptr;
            kernels_.channelwise_gradient(gradient);
            part.positions = end;
        }
    }

    const ConvShape band_shape_;
    const std::int64_t channels_;          // of the output, in all groups
    const std::int64_t channels_of_part_;  // whole vectors
    const bool rolls_;                     // rows that boxes share are kept from one to the next
    const Extent box_;                     // of positions, at most
    const VectorBandPlan<T> bringing_;
};

template <typename T>
std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    const ConvShape& shape = request.shape;
    const int lanes = kernels_of<T>(*request.kernels).lanes;
    constexpr std::int64_t most_in_channels = 8;
    const bool few = shape.out_channels * 4 <= lanes;
    if (shape.in_channels > most_in_channels || shape.groups == 1 || !few) return nullptr;
    // Several channels have another way, which is better where groups are too few to fill a vector, or sums take much
    // memory.
    const double sums = 2 * double(shape.depth * lanes) * double(sizeof(T));
    const bool fills = shape.groups * shape.out_channels >= lanes;
    if (shape.in_channels > 1 && (!fills || sums > double(request.band_bytes))) return nullptr;
    return std::make_unique<ChannelwiseGradientPlan<T>>(request);
}

}  // namespace

std::unique_ptr<ConvPlan> plan_channelwise_gradient(const PlanRequest& request) {
    return computes_in_float(request.dtype) ? make_plan<float>(request) : make_plan<double>(request);
}

}  // namespace flatconv
