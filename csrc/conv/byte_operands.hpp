// What the tasks of one convolution of bytes read beside x: the weights as words, and what becomes of their sums.
//
// The kernels multiply unsigned x by signed weights. A byte of the other kind, minus or plus 128, is of the right one,
// and so is its zero point. With x, w and the zero points zx, zw after that, and K terms,
//
//     Σ (x - zx)(w - zw) = Σ x·w - zw · Σ x - zx · Σ w + K · zx · zw
//
// where the last two terms are one number for each output channel. Σ x, the region sums, are only needed where a zw is
// not 0: they are the product with one row more, of ones.
#ifndef FLATCONV_CONV_BYTE_OPERANDS_HPP
#define FLATCONV_CONV_BYTE_OPERANDS_HPP

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/definition.hpp"

namespace flatconv {

/// One call: its inputs, with strides, and what becomes of the sums.
struct ByteCall {
    ByteInputs inputs;
    const Requantization* requantization;  // null: y is int32
    bool needs_region_sums;

    std::uint32_t x_zero_point() const {
        return std::uint32_t(inputs.x_zero_point + (inputs.x_type == ByteType::int8 ? 128 : 0));
    }
    std::uint32_t weight_zero_point(std::int64_t row) const {
        const ConstArray& given = inputs.weight_zero_points;
        const std::int32_t number = given.data ? load<std::int32_t>(given.data, row * given.byte_strides[0]) : 0;
        return std::uint32_t(number - (inputs.weight_type == ByteType::uint8 ? 128 : 0));
    }
    std::uint32_t bias(std::int64_t row) const {
        if (!requantization || !requantization->bias.data) return 0;
        return load<std::uint32_t>(requantization->bias.data, row * requantization->bias.byte_strides[0]);
    }
    float scale(std::int64_t row) const {
        const ConstArray& given = requantization->weight_scales;
        const float weight_scale = given.data ? load<float>(given.data, row * given.byte_strides[0]) : 1;
        return requantization->x_scale * weight_scale / requantization->y_scale;
    }
};

/// What all of a call's sums have in common on their way to y.
inline SumFinish common_finish(const ByteCall& call) {
    SumFinish finish{};
    if (!call.requantization) return finish;
    finish.zero_point = call.requantization->y_zero_point;
    const int least = call.requantization->y_type == ByteType::int8 ? -128 : 0;
    finish.low = float(least - finish.zero_point);
    finish.high = float(least + 255 - finish.zero_point);
    return finish;
}

/// The weights' sizes in words, of `group` input channels each.
inline WeightSizes word_sizes(WeightSizes sizes, int group) {
    sizes.in_channels = ceil_div(sizes.in_channels, group);
    return sizes;
}

/// Brings one output channel's weights into words.
inline void pack_words(const ByteKernels& kernels, const WeightSizes& sizes, const ConstArray& weight, bool is_signed,
                       std::int64_t row, std::uint32_t* packed) noexcept {
    const ByteStrides& strides = weight.byte_strides;
    const auto* from = static_cast<const std::uint8_t*>(weight.data) + row * strides[0];
    const std::int64_t kernel_d = sizes.kernel[0], kernel_h = sizes.kernel[1], kernel_w = sizes.kernel[2];
    const std::int64_t taps = kernel_d * kernel_h * kernel_w;
    const std::uint8_t flip = is_signed ? 0 : 0x80;
    const int group = kernels.group;
    /// `count` groups of `channels` each.
    const auto pack = [&](int channels, std::int64_t count) {
        const auto stride = std::ptrdiff_t(strides[1]), step = stride * group;
        if (taps == 1) {
            kernels.interleave({from, stride, channels, 0, step, 1, count, packed, 0, flip, true});
        } else if (is_dense(sizes.kernel, strides, 1)) {
            kernels.interleave(
                {from, stride, channels, step, 1, count, taps, packed, std::ptrdiff_t(taps), flip, true});
        } else {
            for (std::int64_t g = 0; g < count; ++g) {
                for (std::int64_t kd = 0; kd < kernel_d; ++kd) {
                    kernels.interleave({from + g * step + kd * strides[2], stride, channels, std::ptrdiff_t(strides[3]),
                                        std::ptrdiff_t(strides[4]), kernel_h, kernel_w,
                                        packed + g * taps + kd * kernel_h * kernel_w, std::ptrdiff_t(kernel_w), flip,
                                        true});
                }
            }
        }
        from += count * step;
        packed += count * taps;
    };
    const std::int64_t whole = sizes.in_channels / group;
    const int rest = int(sizes.in_channels % group);
    if (whole > 0) pack(group, whole);
    if (rest > 0) pack(rest, 1);
}

/// The operands in their memory. Over a Carver of no memory it only measures.
class ByteOperands {
  public:
    ByteOperands(const PlanRequest& request, const ByteCall& call, Carver& carver)
        : kernels_(request.kernels->bytes),
          sizes_(weight_sizes(request.shape)),
          call_(call),
          stride_(packed_row_stride<std::uint32_t>(word_sizes(sizes_, kernels_.group).depth())) {
        const auto rows = std::size_t(sizes_.rows());
        weights_ = carver.take<std::uint32_t>(rows * std::size_t(stride_));
        added_ = carver.take<std::uint32_t>(rows);
        if (call.needs_region_sums) {
            factors_ = carver.take<std::uint32_t>(rows);
            ones_ = carver.take<std::uint32_t>(std::size_t(stride_));
        }
        if (call.requantization) scales_ = carver.take<float>(rows);
    }

    /// Fills them, on all threads.
    void pack(const ConstArray& weight, int participants, const Runtime& runtime) const {
        const bool is_signed = call_.inputs.weight_type == ByteType::int8;
        const std::int64_t depth = word_sizes(sizes_, kernels_.group).depth();
        const std::uint32_t x_zero = call_.x_zero_point();
        parallel::for_each_task(
            runtime.executor, participants, sizes_.rows(),
            [&](int, std::int64_t row) {
                std::uint32_t* const words = weights_ + row * stride_;
                pack_words(kernels_, sizes_, weight, is_signed, row, words);
                const std::uint32_t weight_zero = call_.weight_zero_point(row);
                added_[row] = call_.bias(row);
                if (x_zero != 0) {
                    added_[row] += x_zero * (std::uint32_t(sizes_.depth()) * weight_zero - kernels_.sum(words, depth));
                }
                if (factors_) factors_[row] = weight_zero;
                if (scales_) scales_[row] = call_.scale(row);
            },
            &runtime.cancellation);
        if (!ones_) return;
        // For the kernels' sake a row of weights like any other: of unsigned ones, which have the bits of signed ones.
        const std::uint8_t one = 1;
        const WeightSizes one_row{1, 1, sizes_.in_channels, sizes_.kernel};
        pack_words(kernels_, one_row, {&one, ByteStrides{}}, true, 0, ones_);
    }

    WeightRows<std::uint32_t> rows(std::int64_t first) const { return {weights_ + first * stride_, stride_}; }
    WeightRows<std::uint32_t> ones() const { return {ones_, stride_}; }

    /// How sums of the rows from `first` on are finished, but for where they are.
    SumFinish finish(std::int64_t first) const {
        SumFinish finish = common_finish(call_);
        finish.added = added_ + first;
        finish.factors = factors_ ? factors_ + first : nullptr;
        finish.scales = scales_ ? scales_ + first : nullptr;
        return finish;
    }

  private:
    const ByteKernels& kernels_;
    const WeightSizes sizes_;  // in bytes
    const ByteCall& call_;
    const std::ptrdiff_t stride_;
    std::uint32_t* weights_;
    std::uint32_t* added_;
    std::uint32_t* factors_ = nullptr;
    std::uint32_t* ones_ = nullptr;
    float* scales_ = nullptr;
};

}  // namespace flatconv

#endif
