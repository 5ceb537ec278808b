// The two arrays of a weight's gradient that its plans meet in the same way: dy, which they read by vectors of output
// channels, and the gradient, which they have as a row of output channels for each kernel element.
#ifndef FLATCONV_CONV_GRADIENT_ARRAYS_HPP
#define FLATCONV_CONV_GRADIENT_ARRAYS_HPP

#include <algorithm>
#include <cstring>
#include <utility>

#include "conv/algorithm.hpp"
#include "gemm/transposed_halves.hpp"

namespace flatconv {

template <typename T>
class GradientArrays {
  public:
    /// How dy and the gradient are read and written where they hold halves; else null.
    GradientArrays(const Kernels<T>& kernels, const HalfKernels<T>* half_dy, const HalfKernels<T>* half_gradient,
                   const ConvShape& shape)
        : kernels_(kernels), half_dy_(half_dy), half_gradient_(half_gradient), shape_(shape) {}

    /// Some output channels, counted through all groups.
    struct Channels {
        std::int64_t first, count;
    };

    /// Brings the positions [first, first + length), counted through all images, of some channels to rows of these, one
    /// for each position: `width` of them, the next ones `stride` further on. Runs of positions at one distance are
    /// transposed at once.
    void read_dy(const ConstArray& dy, Channels channels, std::int64_t first, std::int64_t length, T* to,
                 std::int64_t width, std::int64_t stride) const {
        const ByteStrides& strides = dy.byte_strides;
        const bool dense = is_dense(shape_.output, strides, stored_bytes(half_dy_));
        const std::int64_t run = dense ? shape_.pixels : shape_.output[2];
        const std::int64_t step = dense ? stored_bytes(half_dy_) : strides[4];
        const auto* pixels = static_cast<const std::byte*>(dy.data);
        for (std::int64_t i = 0; i < length;) {
            const std::int64_t image = (first + i) / shape_.pixels, position = (first + i) % shape_.pixels;
            const std::int64_t line = position / run, at = position % run;
            const std::int64_t count = std::min(run - at, length - i);
            const std::byte* from = pixels + image * strides[0] + line / shape_.output[1] * strides[2] +
                                    line % shape_.output[1] * strides[3] + at * step;
            transpose_run(from, strides[1], step, channels, count, to + i * width, width, stride);
            i += count;
        }
    }

    /// Whether the positions of a channel of dy follow each other, as elements that are read where they lie.
    bool has_neighbouring_positions(const ConstArray& dy) const {
        const ByteStrides& strides = dy.byte_strides;
        return !half_dy_ && shape_.parts == 1 && is_dense(shape_.output, strides, sizeof(T)) &&
               is_aligned(static_cast<const std::byte*>(dy.data), strides[0] | strides[1]);
    }

    /// Writes the gradients of some kernel elements, counted through the channels of a group: a row of `sums` for each.
    void write(const T* sums, std::int64_t sums_stride, Channels channels, std::int64_t first_row, std::int64_t rows,
               const Array& dweight) const {
        const ByteStrides& strides = dweight.byte_strides;
        std::byte* const first = static_cast<std::byte*>(dweight.data) + channels.first * strides[0];
        const std::int64_t bytes = stored_bytes(half_gradient_);
        const bool rows_are_neighbours =
            is_dense(shape_.kernel, strides, bytes) && (shape_.in_channels == 1 || strides[1] == shape_.taps * bytes);
        if (half_gradient_ && rows_are_neighbours) {
            narrow_transposed(kernels_, *half_gradient_, sums, sums_stride, rows, channels.count,
                              first + first_row * bytes, strides[0]);
            return;
        }
        if (rows_are_neighbours && is_aligned(first, strides[0])) {
            kernels_.transpose({sums, std::ptrdiff_t(sums_stride), rows, channels.count,
                                reinterpret_cast<T*>(first) + first_row, std::ptrdiff_t(strides[0] / bytes), nullptr});
            return;
        }
        for (std::int64_t row = 0; row < rows; ++row) {
            const auto [channel, tap] = element_at(first_row + row);
            std::byte* to =
                first + channel * strides[1] + tap[0] * strides[2] + tap[1] * strides[3] + tap[2] * strides[4];
            if (half_gradient_) {
                half_gradient_->narrow({sums + row * sums_stride, 0, 1, channels.count, to, 0, strides[0]});
                continue;
            }
            for (std::int64_t col = 0; col < channels.count; ++col, to += strides[0]) {
                std::memcpy(to, sums + row * sums_stride + col, sizeof(T));
            }
        }
    }

    /// The channel and kernel element of a row.
    std::pair<std::int64_t, Extent> element_at(std::int64_t row) const {
        const std::int64_t tap = row % shape_.taps, kernel_w = shape_.kernel[2];
        const std::int64_t line = tap / kernel_w;
        return {row / shape_.taps, {line / shape_.kernel[1], line % shape_.kernel[1], tap % kernel_w}};
    }

  private:
    /// `from` is the run's first position in the first channel of all.
    void transpose_run(const std::byte* from, std::int64_t channel_stride, std::int64_t step, Channels channels,
                       std::int64_t count, T* to, std::int64_t width, std::int64_t stride) const {
        constexpr std::int64_t bytes = sizeof(T);
        const auto channel = [&](std::int64_t c) {
            return from + shape_.channel_at(channel_stride, channels.first + c, bytes);
        };
        for (std::int64_t col = 0; col < channels.count; col += width, to += stride) {
            const std::int64_t end = std::min(width, channels.count - col);
            if (half_dy_) {
                widen_transposed(kernels_, end, count, to, width,
                                 [&](std::int64_t r, std::int64_t rows, std::int64_t c, std::int64_t length, T* numbers,
                                     std::int64_t numbers_stride) {
                                     half_dy_->widen({channel(col + r) + c * step, channel_stride, step, rows, length,
                                                      numbers, numbers_stride});
                                 });
                continue;
            }
            if (shape_.parts == 1 && step == bytes && is_aligned(from, channel_stride)) {
                kernels_.transpose({reinterpret_cast<const T*>(channel(col)), std::ptrdiff_t(channel_stride / bytes),
                                    end, count, to, std::ptrdiff_t(width), nullptr});
                continue;
            }
            for (std::int64_t lane = 0; lane < end; ++lane) {
                const std::byte* const pixels = channel(col + lane);
                for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * width + lane, pixels + i * step, bytes);
            }
        }
    }

    /// Whether rows so far apart can be read as elements.
    static bool is_aligned(const std::byte* data, std::int64_t stride) {
        return reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0 && stride % std::int64_t(sizeof(T)) == 0;
    }

    static std::int64_t stored_bytes(const HalfKernels<T>* half) { return half ? half_bytes : std::int64_t(sizeof(T)); }

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_dy_;
    const HalfKernels<T>* const half_gradient_;
    const ConvShape& shape_;
};

}  // namespace flatconv

#endif
