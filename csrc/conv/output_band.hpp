// One band of y, and what becomes of its finished sums.
#ifndef FLATCONV_CONV_OUTPUT_BAND_HPP
#define FLATCONV_CONV_OUTPUT_BAND_HPP

#include <algorithm>
#include <cstring>

#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/operands.hpp"

namespace flatconv {

/// A box of pixels × some rows (output channels) of y and of the residual.
template <typename T>
class OutputBand {
  public:
    /// `bias` is that of the task's first row on, never null.
    OutputBand(const ConvShape& shape, const BandTask& task, const ConvArrays& arrays, const T* bias,
               const Clamp<T>& clamp)
        : box_(task.box), y_strides_(arrays.y.byte_strides), residual_strides_(arrays.residual.byte_strides) {
        const std::int64_t row = task.group * shape.out_channels + task.first_row;
        const auto first = [&](const ByteStrides& strides) {
            return task.image * strides[0] + row * strides[1] + box_.first[0] * strides[2] +
                   box_.first[1] * strides[3] + box_.first[2] * strides[4];
        };
        y_ = static_cast<std::byte*>(arrays.y.data) + first(y_strides_);
        if (arrays.residual.data) {
            residual_ = static_cast<const std::byte*>(arrays.residual.data) + first(residual_strides_);
        }
        epilogue_ = {
            bias,      reinterpret_cast<const T*>(residual_), elements(residual_strides_[1]), clamp.applies, clamp.low,
            clamp.high};
    }

    // Where the plan found `y_in_rows`: pixels are consecutive elements.
    T* row(std::int64_t r) const { return reinterpret_cast<T*>(y_ + r * y_strides_[1]); }
    std::ptrdiff_t row_stride() const { return elements(y_strides_[1]); }

    /// The epilogue of the band's rows from `row` on, and of its pixels from `pixel` on.
    Epilogue<T> epilogue(std::int64_t row, std::int64_t pixel) const {
        Epilogue<T> part = epilogue_;
        part.bias += row;
        if (part.residual) part.residual += row * part.residual_stride + pixel;
        return part;
    }

    /// Whether channels are neighbours in y and in the residual, so that whole vectors of them can be written.
    bool has_channels_innermost() const {
        const auto innermost = [](const ByteStrides& strides, const void* data) {
            if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0 || strides[1] != std::int64_t(sizeof(T))) {
                return false;
            }
            return std::all_of(strides.begin() + 2, strides.end(),
                               [](std::int64_t stride) { return stride % std::int64_t(sizeof(T)) == 0; });
        };
        return innermost(y_strides_, y_) && (!residual_ || innermost(residual_strides_, residual_));
    }

    /// Finishes rows whose pixels have their channels innermost: `sums` has one row of `rows` channels for each pixel.
    void finish_pixels(const Kernels<T>& kernels, const T* sums, std::ptrdiff_t sums_stride, std::int64_t row,
                       std::int64_t rows) const {
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                Epilogue<T> part = epilogue_;
                part.bias += row;
                if (residual_) {
                    part.residual = reinterpret_cast<const T*>(residual_ + offset(residual_strides_, d, h)) + row;
                    part.residual_stride = elements(residual_strides_[4]);
                }
                kernels.finish_rows({sums, sums_stride, box_.size[2], rows,
                                     reinterpret_cast<T*>(y_ + offset(y_strides_, d, h)) + row, elements(y_strides_[4]),
                                     &part});
                sums += box_.size[2] * sums_stride;
            }
        }
    }

    /// Finishes a panel: `sums` has one row of `rows` channels for each pixel. `pixel_rows` has room for as many rows
    /// of pixels, or is null where the plan found `y_in_rows`.
    void finish_panel(const Kernels<T>& kernels, const T* sums, std::ptrdiff_t sums_stride, std::int64_t row,
                      std::int64_t rows, T* pixel_rows) const {
        const std::int64_t pixels = box_.pixels();
        if (!pixel_rows) {
            const Epilogue<T> part = epilogue(row, 0);
            kernels.transpose({sums, sums_stride, pixels, rows, this->row(row), row_stride(), &part});
        } else if (has_channels_innermost()) {
            finish_pixels(kernels, sums, sums_stride, row, rows);
        } else {
            kernels.transpose({sums, sums_stride, pixels, rows, pixel_rows, std::ptrdiff_t(pixels), nullptr});
            for (std::int64_t r = 0; r < rows; ++r)
                scatter(row + r, pixel_rows + r * pixels, std::ptrdiff_t(box_.size[2]));
        }
    }

    bool has_residual() const { return residual_ != nullptr; }

    /// Finishes the sums of one row and brings them to y, wherever its pixels lie. Lines of pixels are `sums_stride`
    /// apart.
    void scatter(std::int64_t row, const T* sums, std::ptrdiff_t sums_stride) const {
        const T bias = epilogue_.bias[row];
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                std::byte* to = y_ + row * y_strides_[1] + offset(y_strides_, d, h);
                const std::byte* added =
                    residual_ ? residual_ + row * residual_strides_[1] + offset(residual_strides_, d, h) : nullptr;
                for (std::int64_t w = 0; w < box_.size[2]; ++w, to += y_strides_[4]) {
                    T sum = sums[w] + bias;
                    if (added) {
                        T value;
                        std::memcpy(&value, added + w * residual_strides_[4], sizeof(T));
                        sum += value;
                    }
                    if (epilogue_.clamps) {
                        // A NaN compares false, and stays.
                        if (sum < epilogue_.low) sum = epilogue_.low;
                        if (sum > epilogue_.high) sum = epilogue_.high;
                    }
                    std::memcpy(to, &sum, sizeof(T));
                }
                sums += sums_stride;
            }
        }
    }

  private:
    static std::ptrdiff_t elements(std::int64_t bytes) { return std::ptrdiff_t(bytes / std::int64_t(sizeof(T))); }
    static std::int64_t offset(const ByteStrides& strides, std::int64_t d, std::int64_t h) {
        return d * strides[2] + h * strides[3];
    }

    const PixelBox& box_;
    const ByteStrides& y_strides_;
    const ByteStrides& residual_strides_;
    std::byte* y_;
    const std::byte* residual_ = nullptr;
    Epilogue<T> epilogue_;
};

}  // namespace flatconv

#endif
