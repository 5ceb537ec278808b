// One task of the convolution of single channels that are read from the image: a box of output pixels, for some groups.
#ifndef FLATCONV_CONV_IMAGE_PRODUCT_HPP
#define FLATCONV_CONV_IMAGE_PRODUCT_HPP

#include <limits>

#include "conv/image_blocking.hpp"
#include "conv/output_band.hpp"

namespace flatconv {

template <typename T>
class ImageTask {
  public:
    ImageTask(const ImageBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
              const ImageWorkspace<T>&, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          first_group_(index % blocking.group_parts() * blocking.groups_per_task),
          image_(index / blocking.group_parts() % shape_.batch),
          box_(blocking.bands.at(shape_, index / blocking.group_parts() / shape_.batch)) {}

    void run(parallel::Cancellation& cancellation) const {
        ImageConvolution<T> channel;
        channel.x_row_stride = std::ptrdiff_t(shape_.input[2]);
        channel.x_rows = shape_.input[1];
        channel.x_cols = shape_.input[2];
        channel.first_row = box_.first[1] * shape_.stride[1] - shape_.pad_before[1];
        channel.first_col = box_.first[2] * shape_.stride[2] - shape_.pad_before[2];
        channel.size = int(shape_.kernel[2]);
        channel.stride = int(shape_.stride[2]);
        channel.y_row_stride = channel.residual_row_stride = std::ptrdiff_t(shape_.output[2]);
        channel.rows = box_.size[1];
        channel.cols = box_.size[2];
        const std::int64_t end = std::min(shape_.groups, first_group_ + blocking_.groups_per_task);
        const BandTask task(box_, image_, first_group_, end - first_group_);
        const OutputBand<T> y(shape_, task, arrays_, operands_.bias + first_group_, operands_.activation, nullptr);
        constexpr T infinity = std::numeric_limits<T>::infinity();
        const Epilogue<T> shared = y.epilogue(0, 0);
        const bool clamps = shared.clamps && !shared.residual;
        channel.low = clamps ? shared.low : -infinity;
        channel.high = clamps ? shared.high : infinity;
        for (std::int64_t group = first_group_; group < end; ++group) {
            if ((group - first_group_ + 1) % blocking_.channels_per_poll == 0 && cancellation.poll()) return;
            const Epilogue<T> epilogue = y.epilogue(group - first_group_, 0);
            channel.x = channel_of(group);
            channel.weights = operands_.weights.data + group * operands_.weights.stride;
            channel.y = y.row(group - first_group_);
            channel.epilogue = &epilogue;
            blocking_.kernels.convolve_image(channel);
        }
    }

  private:
    const T* channel_of(std::int64_t group) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        return reinterpret_cast<const T*>(static_cast<const std::byte*>(arrays_.x.data) + image_ * strides[0] +
                                          group * strides[1]);
    }

    const ImageBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const std::int64_t first_group_;
    const std::int64_t image_;
    const PixelBox box_;
};

}  // namespace flatconv

#endif
