// One task of the convolution of single channels of bytes that are read from the image: a box of output pixels, for
// some groups.
#ifndef FLATCONV_CONV_BYTE_IMAGE_PRODUCT_HPP
#define FLATCONV_CONV_BYTE_IMAGE_PRODUCT_HPP

#include "conv/byte_operands.hpp"
#include "conv/image_blocking.hpp"

namespace flatconv {

using ByteImageBlocking = ImageBlocking<std::uint32_t>;

class ByteImageTask {
  public:
    ByteImageTask(const ByteImageBlocking& blocking, const ByteKernels& kernels, const ByteCall& call,
                  const ConvArrays& arrays, std::int64_t index)
        : blocking_(blocking), kernels_(kernels), call_(call), arrays_(arrays), task_(blocking, index) {}

    /// Whether all of a call is done so: with arrays whose channels are dense, and weights whose zero point is that of
    /// the kernels.
    static bool suits(const PlanRequest& request, const ByteCall& call, const Array& y) {
        const ConvShape& shape = request.shape;
        const std::size_t y_bytes = call.requantization ? 1 : sizeof(std::uint32_t);
        const bool aligned = (reinterpret_cast<std::uintptr_t>(y.data) | std::uintptr_t(y.byte_strides[0]) |
                              std::uintptr_t(y.byte_strides[1])) %
                                 y_bytes ==
                             0;
        return request.kernels->bytes.convolve_image && !call.needs_region_sums && aligned &&
               is_dense(shape.input, call.inputs.x.byte_strides, 1) &&
               is_dense(shape.output, y.byte_strides, std::int64_t(y_bytes)) && ByteImageBlocking::suits_shape(request);
    }

    void run(parallel::Cancellation& cancellation) const {
        const bool is_signed = call_.inputs.x_type == ByteType::int8;
        std::uint32_t words[most_words] = {}, added;
        float scale;
        SumFinish finish = common_finish(call_);
        finish.added = &added;
        finish.scales = &scale;
        ByteImageConvolution channel{};
        static_cast<ImageBox&>(channel) = image_box(blocking_.shape, task_.box);
        channel.outside = std::uint8_t(call_.inputs.x_zero_point);
        channel.flip = is_signed ? 0x80 : 0;
        std::uint32_t* const weights = words + channel.stride * byte_image_words(channel.size);
        channel.weights = weights;
        channel.finish = &finish;
        for (std::int64_t group = task_.first_group; group < task_.end_group; ++group) {
            if ((group - task_.first_group + 1) % blocking_.channels_per_poll == 0 && cancellation.poll()) return;
            added = call_.bias(group) - call_.x_zero_point() * pack(group, weights);
            if (call_.requantization) scale = call_.scale(group);
            const ByteStrides &x = arrays_.x.byte_strides, &y = arrays_.y.byte_strides;
            channel.x = static_cast<const std::uint8_t*>(arrays_.x.data) + task_.image * x[0] + group * x[1];
            auto* const to = static_cast<std::byte*>(arrays_.y.data) + task_.image * y[0] + group * y[1];
            const std::int64_t first = task_.box.first[1] * blocking_.shape.output[2];
            if (call_.requantization) {
                channel.y = reinterpret_cast<std::uint8_t*>(to) + first;
            } else {
                channel.sums = reinterpret_cast<std::uint32_t*>(to) + first;
            }
            kernels_.convolve_image(channel);
        }
    }

  private:
    static constexpr int most_words = (7 + 2 * 2) * byte_image_words(7);

    /// A channel's weights as words; returns their sum.
    std::uint32_t pack(std::int64_t group, std::uint32_t* words) const {
        const ByteStrides& strides = arrays_.weight.byte_strides;
        const auto* const from = static_cast<const std::uint8_t*>(arrays_.weight.data) + group * strides[0];
        const std::uint8_t flip = call_.inputs.weight_type == ByteType::int8 ? 0 : 0x80;
        const int size = int(blocking_.shape.kernel[2]), row_words = byte_image_words(size);
        std::uint32_t sum = 0;
        std::fill_n(words, size * row_words, 0u);
        for (int kh = 0; kh < size; ++kh, words += row_words) {
            for (int kw = 0; kw < size; ++kw) {
                const auto number = std::uint8_t(from[kh * strides[3] + kw * strides[4]] ^ flip);
                words[kw / 4] |= std::uint32_t(number) << (8 * (kw % 4));
                sum += std::uint32_t(std::int8_t(number));
            }
        }
        return sum;
    }

    const ByteImageBlocking& blocking_;
    const ByteKernels& kernels_;
    const ByteCall& call_;
    const ConvArrays& arrays_;
    const ImageTaskBox task_;
};

}  // namespace flatconv

#endif
