// One task of the convolution of single channels that are read from the image: a box of output pixels, for some groups.
#ifndef FLATCONV_CONV_IMAGE_PRODUCT_HPP
#define FLATCONV_CONV_IMAGE_PRODUCT_HPP

#include "conv/image_blocking.hpp"
#include "conv/output_band.hpp"

namespace flatconv {

template <typename T>
class ImageTask {
  public:
    ImageTask(const ImageBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
              const ImageWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(blocking, index) {}

    void run(parallel::Cancellation& cancellation) const {
        ImageConvolution<T> channel;
        const bool lines = blocking_.lines;
        static_cast<ImageBox&>(channel) = (lines ? line_box : image_box)(shape_, task_.box);
        channel.residual_row_stride = channel.y_row_stride;
        // Of the image, where only the rows that the box meets are widened.
        const std::int64_t first_met = std::clamp<std::int64_t>(channel.first_row, 0, shape_.input[1]);
        const std::int64_t first = task_.first_group;
        // The axes of lines are not those of the caller's strides, but all pixels of y follow each other.
        PixelBox box = task_.box;
        const std::int64_t pixel = lines ? box.first[1] * shape_.output[2] + box.first[2] : 0;
        if (lines) box.first = {0, 0, 0};
        const BandTask task(box, task_.image, first, task_.end_group - first);
        const OutputBand<T> y(shape_, task, arrays_, operands_, blocking_.half_y);
        const bool keeps_halves =
            blocking_.keeps_halves() && !y.has_residual() && y.epilogue(0, 0).curve == Curve::none;
        if (blocking_.half_x && !keeps_halves) {
            const std::int64_t end_met = channel.first_row + blocking_.reach(channel.rows);
            channel.x = workspace_.x;
            channel.x_rows = std::max<std::int64_t>(0, std::min(shape_.input[1], end_met) - first_met);
            channel.first_row -= first_met;
        }
        channel.finite = operands_.finite;
        // One channel at a time.
        const bool each = !lines && (blocking_.half_x || shape_.mirrored || blocking_.repeats_pixels());
        const std::int64_t at_once = each ? 1 : blocking_.channels_per_poll;
        channel.x_channel_stride = std::ptrdiff_t(arrays_.x.byte_strides[1] / std::int64_t(sizeof(T)));
        channel.y_channel_stride = y.row_stride();
        channel.weights_stride = operands_.weights.stride;
        for (std::int64_t group = first; group < task_.end_group; group += at_once) {
            const std::int64_t done = group - first;
            if (done > 0 && done % blocking_.channels_per_poll == 0 && cancellation.poll()) return;
            const Epilogue<T> epilogue = y.epilogue(done, pixel);
            T gathered[most_taps];
            channel.channels = std::min(at_once, task_.end_group - group);
            channel.weights = weights_of(group, gathered);
            channel.epilogue = &epilogue;
            if (blocking_.half_x && !keeps_halves) {
                widen_rows(group, first_met, channel.x_rows);
            } else {
                channel.x = reinterpret_cast<const T*>(channel_of(group));
            }
            const bool rounds = blocking_.half_y && !keeps_halves;
            channel.y = rounds ? workspace_.y : y.row(done) + pixel;
            if (blocking_.repeats_pixels()) {
                convolve_parts(channel, y, group);
                continue;
            }
            if (blocking_.turns()) {
                convolve_turned(channel);
                continue;
            }
            (keeps_halves                ? blocking_.half_y->convolve_image
             : shape_.mirrored && !lines ? blocking_.kernels.transpose_image
                                         : blocking_.kernels.convolve_image)(channel);
            if (rounds) {
                y.store_rows(blocking_.kernels, done, 1, workspace_.y, 0, channel.y_row_stride);
            }
        }
    }

  private:
    /// What meets the image alone, from there; and from copies what does not: above, below, and on both sides.
    void convolve_parts(const ImageConvolution<T>& channel, const OutputBand<T>& y, std::int64_t group) const {
        const std::int64_t rows = task_.box.size[1], cols = task_.box.size[2];
        const auto within_box = [&](std::size_t axis, std::int64_t at) {
            return std::clamp<std::int64_t>(at - task_.box.first[axis], 0, task_.box.size[axis]);
        };
        const auto [first_row, end_row] = blocking_.inside(1);
        const auto [first_col, end_col] = blocking_.inside(2);
        const std::int64_t top = within_box(1, first_row), bottom = within_box(1, end_row);
        const std::int64_t left = within_box(2, first_col), right = within_box(2, end_col);
        convolve_part(channel, y, group, {{0, top, left}, {1, bottom - top, right - left}}, false);
        const PixelBox edges[] = {{{0, 0, 0}, {1, top, cols}},
                                  {{0, bottom, 0}, {1, rows - bottom, cols}},
                                  {{0, top, 0}, {1, bottom - top, left}},
                                  {{0, top, right}, {1, bottom - top, cols - right}}};
        for (const PixelBox& edge : edges) {
            for (std::int64_t h = 0; h < edge.size[1]; h += ImageBlocking<T>::piece_rows) {
                for (std::int64_t w = 0; w < edge.size[2]; w += ImageBlocking<T>::piece_cols) {
                    convolve_part(channel, y, group,
                                  {{0, edge.first[1] + h, edge.first[2] + w},
                                   {1, std::min(ImageBlocking<T>::piece_rows, edge.size[1] - h),
                                    std::min(ImageBlocking<T>::piece_cols, edge.size[2] - w)}},
                                  true);
                }
            }
        }
    }

    /// Some outputs, relative to the box's first.
    void convolve_part(ImageConvolution<T> image, const OutputBand<T>& y, std::int64_t group, const PixelBox& part,
                       bool from_copy) const {
        if (part.size[1] <= 0 || part.size[2] <= 0) return;
        const std::int64_t at = part.first[1] * shape_.output[2] + part.first[2], stride = shape_.stride[2];
        const Epilogue<T> epilogue = y.epilogue(group - task_.first_group, at);
        image.epilogue = &epilogue;
        image.y += at;
        image.rows = part.size[1];
        image.cols = part.size[2];
        image.first_row += part.first[1] * stride;
        image.first_col += part.first[2] * stride;
        if (from_copy) {
            const PixelBox met{{0, image.first_row + shape_.pad_before[1], image.first_col + shape_.pad_before[2]},
                               {1, (image.rows - 1) * stride + 1, (image.cols - 1) * stride + 1}};
            const ByteStrides& strides = arrays_.x.byte_strides;
            BandLayout(blocking_.edge_shape, met.size)
                .pad_channel<T>(blocking_.kernels, nullptr, blocking_.edge_shape, channel_of(group),
                                {strides[2], strides[3], strides[4]}, met, workspace_.x);
            image.x = workspace_.x;
            image.x_rows = blocking_.reach(image.rows);
            image.x_cols = blocking_.reach(image.cols);
            image.x_row_stride = std::ptrdiff_t(image.x_cols);
            image.first_row = image.first_col = 0;
        }
        blocking_.kernels.convolve_image(image);
    }

    /// The box of a transpose from copies, in which the last pixel of its image is the first one.
    void convolve_turned(ImageConvolution<T> image) const {
        const auto turn = [this](const T* from, std::int64_t count, T* to) {
            blocking_.kernels.copy_block({from + count - 1, 0, -1, 1, count, to, 0});
        };
        const std::int64_t cols = image.x_cols, outputs = image.rows * image.cols;
        const std::int64_t end = task_.box.first[1] + image.rows, all = shape_.input[1];
        const std::int64_t first = shape_.output[1] - end - blocking_.turned_pad(shape_, 1);
        const std::int64_t begin_met = std::clamp<std::int64_t>(first, 0, all);
        const std::int64_t end_met = std::clamp<std::int64_t>(first + blocking_.reach(image.rows), 0, all);
        turn(image.x + (all - end_met) * cols, (end_met - begin_met) * cols, workspace_.x);
        Epilogue<T> epilogue = *image.epilogue;
        if (epilogue.residual) {
            turn(epilogue.residual, outputs, workspace_.residual);
            epilogue.residual = workspace_.residual;
        }
        T* const y = image.y;
        image.epilogue = &epilogue;
        image.x = workspace_.x;
        image.x_rows = end_met - begin_met;
        image.first_row = first - begin_met;
        image.first_col = -blocking_.turned_pad(shape_, 2);
        image.y = workspace_.y;
        blocking_.kernels.convolve_image(image);
        turn(workspace_.y, outputs, y);
    }

    static constexpr std::int64_t most_taps = 49;  // of a transpose

    /// The kernel of a group. Those of a transpose that are packed lie phase by phase.
    const T* weights_of(std::int64_t group, T (&gathered)[most_taps]) const {
        if (!shape_.mirrored || !arrays_.packed || blocking_.lines)
            return operands_.weights.data + group * operands_.weights.stride;
        const std::int64_t size = shape_.kernel[2], stride = shape_.stride[2];
        for (std::int64_t kh = 0; kh < size; ++kh) {
            for (std::int64_t kw = 0; kw < size; ++kw) {
                const PackedWeights& phase = arrays_.packed[kh % stride * stride + kw % stride];
                const std::int64_t row_length = ceil_div(size - kw % stride, stride);
                gathered[kh * size + kw] = reinterpret_cast<const T*>(
                    phase.rows)[group * phase.row_stride + kh / stride * row_length + kw / stride];
            }
        }
        return gathered;
    }

    const std::byte* channel_of(std::int64_t group) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        return static_cast<const std::byte*>(arrays_.x.data) + task_.image * strides[0] + group * strides[1];
    }

    void widen_rows(std::int64_t group, std::int64_t first, std::int64_t rows) const {
        const ByteStrides& strides = arrays_.x.byte_strides;
        const std::int64_t cols = shape_.input[2];
        const std::byte* const from = channel_of(group) + first * strides[3];
        // As one row where they follow each other.
        const bool joined = strides[3] == cols * strides[4];
        blocking_.half_x->widen({from, strides[3], strides[4], joined ? 1 : rows, joined ? rows * cols : cols,
                                 workspace_.x, std::ptrdiff_t(cols)});
    }

    const ImageBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const ImageWorkspace<T>& workspace_;
    const ImageTaskBox task_;
};

}  // namespace flatconv

#endif
