// The gradient of the weights of groups of a single input channel, with lanes across the output channels of many
// groups; asked for by conv/weight_gradient.cpp.
//
// As products of matrices such groups would have a column or two. Here every position is a vector of channels, of dy
// and of the padded image, and one multiply-add brings a kernel element's sums for all of them from one position to the
// next.
#include "conv/channelwise_gradient.hpp"

#include <algorithm>
#include <string>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "conv/gradient_arrays.hpp"
#include "gemm/gemm.hpp"
#include "im2col/channel_padding.hpp"

namespace flatconv {

namespace {

template <typename T>
class ChannelwiseGradientPlan final : public ConvPlan {
  public:
    explicit ChannelwiseGradientPlan(const PlanRequest& request)
        : kernels_(kernels_of<T>(*request.kernels)),
          half_(half_kernels<T>(request)),
          shape_(request.shape),
          arrays_(kernels_, half_, shape_),
          x_aligned_(request.x_aligned),
          channels_(shape_.groups * shape_.out_channels),
          box_(box_within(std::min<std::int64_t>(request.band_bytes, most_box_bytes))),
          layout_(shape_, box_),
          tasks_(ceil_div(channels_, kernels_.lanes)),
          participants_(int(std::min<std::int64_t>(request.participants, tasks_))) {
        Carver carver(nullptr);
        carve(carver);
        bytes_per_participant_ = carver.used();
    }

    double cycles() const override {
        return double(tasks_) * double(shape_.taps) * double(shape_.batch * shape_.pixels);
    }

    std::string describe() const override {
        return std::to_string(tasks_) + " parts of " + std::to_string(kernels_.lanes) +
               " channels, each for itself, boxes of " + std::to_string(box_[1]) + " × " + std::to_string(box_[2]) +
               " pixels";
    }

    std::size_t workspace_bytes() const override { return bytes_per_participant_ * std::size_t(participants_); }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        parallel::for_each_task(
            runtime.executor, participants_, tasks_,
            [&](int participant, std::int64_t task) {
                Carver carver(workspace + bytes_per_participant_ * std::size_t(participant));
                Part part{carve(carver), {task * kernels_.lanes, 0}};
                part.channels.count = std::min<std::int64_t>(kernels_.lanes, channels_ - part.channels.first);
                run_part(arrays, runtime, part);
            },
            &runtime.cancellation);
    }

  private:
    /// The image is transposed into the band, and dy beside it: both are read again at once, for every kernel element.
    static constexpr std::int64_t most_box_bytes = 96 * 1024;

    struct Memory {
        ImageBlock* blocks;       // of the image in a band
        T* planes;                // a padded channel for each lane
        T* band;                  // the same, transposed
        T* dy;                    // a vector of channels for each position of a box
        std::ptrdiff_t* offsets;  // of the kernel elements in the band
        T* block;                 // sums over the present block of positions, a vector for each kernel element,
        T* sums;                  // and over those before
    };

    struct Part {
        Memory memory;
        typename GradientArrays<T>::Channels channels;
        std::int64_t positions = 0;  // that are summed already
    };

    Memory carve(Carver& carver) const {
        const auto lanes = std::size_t(kernels_.lanes), taps = std::size_t(shape_.taps);
        const std::size_t band = lanes * std::size_t(layout_.channel_length());
        Memory memory;
        memory.blocks = carver.take<ImageBlock>(std::size_t(layout_.most_image_blocks()));
        memory.planes = carver.take<T>(band);
        memory.band = carver.take<T>(band);
        memory.dy = carver.take<T>(lanes * std::size_t(box_[1] * box_[2]));
        memory.offsets = carver.take<std::ptrdiff_t>(taps);
        memory.block = carver.take<T>(lanes * taps);
        memory.sums = carver.take<T>(lanes * taps);
        return memory;
    }

    /// The largest box, of rows or else within one, whose band and dy are no larger.
    Extent box_within(std::int64_t bytes) const {
        Extent box{1, std::max<std::int64_t>(shape_.output[1], 1), std::max<std::int64_t>(shape_.output[2], 1)};
        const auto elements = [&] { return 2 * BandLayout(shape_, box).channel_length() + box[1] * box[2]; };
        for (const auto axis : {std::size_t{1}, std::size_t{2}}) {
            while (box[axis] > 1 && elements() * kernels_.lanes * std::int64_t(sizeof(T)) > bytes) {
                box[axis] = ceil_div(box[axis], 2);
            }
        }
        return box;
    }

    void run_part(const ConvArrays& arrays, const Runtime& runtime, Part& part) const {
        const Memory& memory = part.memory;
        const std::int64_t numbers = shape_.taps * kernels_.lanes;
        for (std::int64_t tap = 0; tap < shape_.taps; ++tap) {
            const auto [channel, at] = arrays_.element_at(tap);
            memory.offsets[tap] = std::ptrdiff_t(layout_.tap_at(at[0], at[1], at[2]) * kernels_.lanes);
        }
        // Lanes without a channel are computed too; zeros keep them from being subnormal, and slow.
        std::fill_n(memory.planes, kernels_.lanes * layout_.channel_length(), T(0));
        std::fill_n(memory.dy, kernels_.lanes * box_[1] * box_[2], T(0));
        std::fill_n(memory.block, numbers, T(0));
        std::fill_n(memory.sums, numbers, T(0));
        for (std::int64_t image = 0; image < shape_.batch; ++image) {
            for (std::int64_t d = 0; d < shape_.output[0]; ++d) {
                for (std::int64_t h = 0; h < shape_.output[1]; h += box_[1]) {
                    for (std::int64_t w = 0; w < shape_.output[2]; w += box_[2]) {
                        if (runtime.cancellation.poll()) return;
                        const PixelBox box{
                            {d, h, w},
                            {1, std::min(box_[1], shape_.output[1] - h), std::min(box_[2], shape_.output[2] - w)}};
                        bring(arrays, part, image, box);
                        add(part, box);
                    }
                }
            }
        }
        if (part.positions % depth_block != 0) end_block(part);
        arrays_.write(memory.sums, kernels_.lanes, part.channels, 0, shape_.taps, arrays.y);
    }

    /// What a box reads, as vectors of channels.
    void bring(const ConvArrays& arrays, const Part& part, std::int64_t image, const PixelBox& box) const {
        const auto [first, count] = part.channels;
        const ByteStrides& strides = arrays.x.byte_strides;
        const ChannelPadding<T> padding(kernels_, half_, layout_, shape_, box, strides, x_aligned_, part.memory.blocks);
        const std::int64_t length = layout_.channel_length();
        for (std::int64_t c = 0; c < count; ++c) {
            const std::byte* const channel = static_cast<const std::byte*>(arrays.x.data) + image * strides[0] +
                                             (first + c) / shape_.out_channels * strides[1];
            padding.pad(channel, part.memory.planes + c * length, true);
        }
        kernels_.transpose({part.memory.planes, std::ptrdiff_t(length), kernels_.lanes, length, part.memory.band,
                            std::ptrdiff_t(kernels_.lanes), nullptr});
        arrays_.read_dy(arrays.weight, part.channels, part.positions, box.pixels(), part.memory.dy, kernels_.lanes, 0);
    }

    /// Adds the box's positions to the sums, a run of whole rows, or the rest of one, at a time; blocks end anywhere.
    void add(Part& part, const PixelBox& box) const {
        const std::int64_t width = box.size[2];
        ChannelwiseGradient<T> gradient;
        gradient.row_step = std::ptrdiff_t(layout_.position_at(0, 1, 0) * kernels_.lanes);
        gradient.offsets = part.memory.offsets;
        gradient.taps = shape_.taps;
        gradient.sums = part.memory.block;
        for (std::int64_t at = 0; at < box.pixels(); at += gradient.rows * gradient.cols) {
            const std::int64_t left = std::min(box.pixels() - at, depth_block - part.positions % depth_block);
            const bool whole = at % width == 0 && left >= width;
            gradient.rows = whole ? left / width : 1;
            gradient.cols = whole ? width : std::min(left, width - at % width);
            gradient.band = part.memory.band + layout_.position_at(0, at / width, at % width) * kernels_.lanes;
            gradient.dy = part.memory.dy + at * kernels_.lanes;
            kernels_.channelwise_gradient(gradient);
            part.positions += gradient.rows * gradient.cols;
            if (part.positions % depth_block == 0) end_block(part);
        }
    }

    /// The block's sums join those of the blocks before.
    void end_block(const Part& part) const {
        const Memory& memory = part.memory;
        const bool first = part.positions <= depth_block;
        for (std::int64_t i = 0; i < shape_.taps * kernels_.lanes; ++i) {
            memory.sums[i] = first ? memory.block[i] : memory.sums[i] + memory.block[i];
            memory.block[i] = T(0);
        }
    }

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_;
    const ConvShape shape_;
    const GradientArrays<T> arrays_;
    const bool x_aligned_;
    const std::int64_t channels_;  // of the output, in all groups
    const Extent box_;             // of positions, at most
    const BandLayout layout_;
    const std::int64_t tasks_;
    const int participants_;
    std::size_t bytes_per_participant_;
};

template <typename T>
std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    const ConvShape& shape = request.shape;
    const bool few = shape.out_channels * 4 <= kernels_of<T>(*request.kernels).lanes;
    if (shape.in_channels != 1 || shape.groups == 1 || !few) return nullptr;
    return std::make_unique<ChannelwiseGradientPlan<T>>(request);
}

}  // namespace

std::unique_ptr<ConvPlan> plan_channelwise_gradient(const PlanRequest& request) {
    return computes_in_float(request.dtype) ? make_plan<float>(request) : make_plan<double>(request);
}

}  // namespace flatconv
