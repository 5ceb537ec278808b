// One band of y, and what becomes of its finished sums.
#ifndef FLATCONV_CONV_OUTPUT_BAND_HPP
#define FLATCONV_CONV_OUTPUT_BAND_HPP

#include <algorithm>
#include <atomic>
#include <cstring>

#include "conv/added_halves.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "conv/line_order.hpp"
#include "conv/operands.hpp"

namespace flatconv {

/// A box of pixels × some rows (output channels) of y and of the residual.
template <typename T>
class OutputBand {
  public:
    /// `half` writes y, and reads the residual, where they hold halves; else it is null.
    OutputBand(const ConvShape& shape, const BandTask& task, const ConvArrays& arrays, const Operands<T>& operands,
               const HalfKernels<T>* half)
        : shape_(shape),
          box_(task.box),
          first_row_(task.group * shape.out_channels + task.first_row),
          y_strides_(arrays.y.byte_strides),
          residual_strides_(arrays.residual.byte_strides),
          activation_(operands.activation),
          half_(half) {
        const auto first = [&](const ByteStrides& strides) {
            return task.image * strides[0] + box_.first[0] * strides[2] + box_.first[1] * strides[3] +
                   box_.first[2] * strides[4];
        };
        y_ = static_cast<std::byte*>(arrays.y.data) + first(y_strides_);
        if (arrays.residual.data) {
            residual_ = static_cast<const std::byte*>(arrays.residual.data) + first(residual_strides_);
        }
        epilogue_ = with_activation(activation_, {operands.bias + first_row_, nullptr, 0, false, 0, 0});
        joins_rows_ = !residual_ && !half && holds_pairs(task.rows);
        if (!residual_) return;
        if (half) {
            // That it is added, and what follows, is left to store_line, store_rows and store_pixels.
            epilogue_.clamps = false;
            epilogue_.curve = Curve::none;
        } else {
            epilogue_.residual = reinterpret_cast<const T*>(residual_ + row_at(residual_strides_, 0));
            epilogue_.residual_stride = elements(residual_strides_[1]);
        }
    }

    // Where the plan found `y_in_rows`: pixels are consecutive elements.
    T* row(std::int64_t r) const { return reinterpret_cast<T*>(y_ + row_at(y_strides_, r)); }
    std::ptrdiff_t row_stride() const { return elements(y_strides_[1]); }

    /// The epilogue of the band's rows from `row` on, and of its pixels from `pixel` on.
    Epilogue<T> epilogue(std::int64_t row, std::int64_t pixel) const {
        Epilogue<T> part = epilogue_;
        part.bias += row;
        if (part.residual) part.residual += row * part.residual_stride + pixel;
        return part;
    }

    // Where channels are innermost: a pixel's, from `row` on, and the epilogue of that and of those behind it in its
    // line.
    T* pixel(std::int64_t row, std::int64_t d, std::int64_t h, std::int64_t w) const {
        return reinterpret_cast<T*>(y_ + row_at(y_strides_, row) + offset(y_strides_, d, h) + w * y_strides_[4]);
    }
    std::ptrdiff_t pixel_stride() const { return elements(y_strides_[4]); }
    std::ptrdiff_t line_stride() const { return elements(y_strides_[3]); }
    std::ptrdiff_t residual_line_stride() const { return elements(residual_strides_[3]); }
    Epilogue<T> pixel_epilogue(std::int64_t row, std::int64_t d, std::int64_t h, std::int64_t w) const {
        Epilogue<T> part = epilogue_;
        part.bias += row;
        if (residual_) {
            part.residual = reinterpret_cast<const T*>(residual_ + row_at(residual_strides_, row) +
                                                       offset(residual_strides_, d, h) + w * residual_strides_[4]);
            part.residual_stride = elements(residual_strides_[4]);
        }
        return part;
    }

    /// Whether channels are neighbours in y and in the residual, so that whole vectors of them can be written.
    bool has_channels_innermost() const {
        const auto innermost = [this](const ByteStrides& strides, const void* data) {
            if (half_) return strides[1] == half_bytes;
            if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) return false;
            if (strides[1] != shape_.parts * std::int64_t(sizeof(T))) return false;
            return std::all_of(strides.begin() + 2, strides.end(),
                               [](std::int64_t stride) { return stride % std::int64_t(sizeof(T)) == 0; });
        };
        return innermost(y_strides_, y_) && (!residual_ || innermost(residual_strides_, residual_));
    }

    /// Finishes rows whose pixels have their channels innermost: `sums` has one row of `rows` channels for each pixel.
    void finish_pixels(const Kernels<T>& kernels, const T* sums, std::ptrdiff_t sums_stride, std::int64_t row,
                       std::int64_t rows, const LineOrder& order) const {
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                const Epilogue<T> part = pixel_epilogue(row, d, h, 0);
                kernels.finish_rows({sums + order.at(box_.size, d, h) * box_.size[2] * sums_stride, sums_stride,
                                     box_.size[2], rows, pixel(row, d, h, 0), pixel_stride(), &part});
            }
        }
    }

    /// The same where y holds halves. The sums are finished where they are.
    void store_pixels(const Kernels<T>& kernels, T* all_sums, std::ptrdiff_t sums_stride, std::int64_t row,
                      std::int64_t rows, const LineOrder& order) const {
        T added[most_added];
        Epilogue<T> part = with_activation(activation_, epilogue_);
        part.bias += row;
        part.residual_stride = std::ptrdiff_t(rows);
        const std::int64_t at_once = residual_ ? most_added / rows : box_.size[2];
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                T* sums = all_sums + order.at(box_.size, d, h) * box_.size[2] * sums_stride;
                for (std::int64_t w = 0; w < box_.size[2]; w += at_once) {
                    const std::int64_t pixels = std::min(at_once, box_.size[2] - w);
                    if (residual_) {
                        const std::byte* from = residual_ + row_at(residual_strides_, row) +
                                                offset(residual_strides_, d, h) + w * residual_strides_[4];
                        half_->widen({from, residual_strides_[4], half_bytes, pixels, rows, added, rows});
                        part.residual = added;
                    }
                    kernels.finish_rows({sums, sums_stride, pixels, rows, sums, sums_stride, &part});
                    half_->narrow({sums, sums_stride, pixels, rows,
                                   y_ + row_at(y_strides_, row) + offset(y_strides_, d, h) + w * y_strides_[4],
                                   y_strides_[4], half_bytes});
                    sums += pixels * sums_stride;
                }
            }
        }
    }

    /// Finishes rows whose sums are in the same order, one row of `rows` channels for each pixel, and lines of pixels
    /// in that of `order`. `in_rows` is whether the plan found y so; else `row_memory` has room for the sums as rows of
    /// pixels.
    void finish_channels(const Kernels<T>& kernels, T* sums, std::ptrdiff_t sums_stride, std::int64_t row,
                         std::int64_t rows, bool in_rows, T* row_memory, const LineOrder& order = {}) const {
        const std::int64_t pixels = box_.pixels(), lines = box_.size[1] * box_.size[2];
        const Epilogue<T> part = epilogue(row, 0);
        const bool innermost = has_channels_innermost(), in_order = order.is_that_of_pixels();
        // visit(sums of pixels that follow each other, plane and line of the first, its number, how many)
        const auto each_run = [&](std::int64_t most, const auto& visit) {
            const std::int64_t run = in_order ? most : box_.size[2];
            for (std::int64_t p = 0; p < pixels; p += run) {
                const std::int64_t d = p / lines, h = p % lines / box_.size[2];
                visit(sums + order.at(box_.size, d, h) * box_.size[2] * sums_stride, d, h, p, run);
            }
        };
        if (in_rows && !(innermost && pixels == 1)) {
            // Rows begin anew with each plane that does not follow the one before.
            const bool one_run = is_run(y_strides_) && (!residual_ || is_run(residual_strides_));
            each_run(one_run ? pixels : lines,
                     [&](const T* from, std::int64_t d, std::int64_t h, std::int64_t, std::int64_t run) {
                         Epilogue<T> of_run = part;
                         if (residual_) of_run.residual += elements(offset(residual_strides_, d, h));
                         T* const to = this->row(row) + elements(offset(y_strides_, d, h));
                         kernels.transpose({from, sums_stride, run, rows, to, row_stride(), &of_run, passes_caches()});
                     });
        } else if (innermost) {
            if (half_) {
                store_pixels(kernels, sums, sums_stride, row, rows, order);
            } else {
                finish_pixels(kernels, sums, sums_stride, row, rows, order);
            }
        } else if (half_ && is_one_line() && in_order) {
            // What is transposed is still in the first-level cache when it is rounded.
            constexpr std::int64_t at_once = 64;
            for (std::int64_t p = 0; p < pixels; p += at_once) {
                const std::int64_t cols = std::min(at_once, pixels - p);
                kernels.transpose(
                    {sums + p * sums_stride, sums_stride, cols, rows, row_memory, std::ptrdiff_t(cols), &part});
                store_line(kernels, row, rows, p, cols, row_memory, std::ptrdiff_t(cols), false);
            }
        } else {
            const bool finishes = half_ || joins_rows_;
            const auto line = std::ptrdiff_t(box_.size[2]), stride = std::ptrdiff_t(pixels);
            each_run(pixels, [&](const T* from, std::int64_t, std::int64_t, std::int64_t first, std::int64_t run) {
                kernels.transpose(
                    {from, sums_stride, run, rows, row_memory + first, stride, finishes ? &part : nullptr});
            });
            if (half_) return store_rows(kernels, row, rows, row_memory, stride, line);
            scatter_rows(kernels, row, rows, row_memory, stride, line);
        }
    }

    /// Whether sums can be finished where they are kept, before `scatter_rows` brings them to y: those of complex
    /// numbers whose parts are neighbours there.
    bool joins_rows() const { return joins_rows_; }

    /// Brings the sums of some rows to y, wherever its pixels lie, and finishes them unless it `joins_rows`. Rows are
    /// `sums_stride` apart, lines of pixels `line_stride`.
    void scatter_rows(const Kernels<T>& kernels, std::int64_t row, std::int64_t rows, T* sums,
                      std::ptrdiff_t sums_stride, std::ptrdiff_t line_stride) const {
        for (std::int64_t r = 0; r < rows; r += joins_rows_ ? 2 : 1) {
            T* const from = sums + r * sums_stride;
            if (joins_rows_) {
                join_rows(row + r, from, from + sums_stride, line_stride);
            } else {
                scatter(kernels, row + r, from, line_stride);
            }
        }
    }

    bool has_residual() const { return residual_ != nullptr; }

    /// Whether all pixels of the box are as far apart as two neighbours, in y and in the residual.
    bool is_one_line() const {
        const auto one_line = [&](const ByteStrides& strides) {
            const auto [planes, lines, cols] = box_.size;
            return (planes == 1 || strides[2] == lines * strides[3]) &&
                   (planes * lines == 1 || strides[3] == cols * strides[4]);
        };
        return one_line(y_strides_) && (!residual_ || one_line(residual_strides_));
    }

    /// Whether sums can be finished on their way to a y that holds halves.
    bool finishes_on_the_way() const { return half_ && !residual_ && epilogue_.curve == Curve::none && is_one_line(); }

    /// Brings the sums of some rows to a y that holds halves and is one line: those of `cols` pixels from `pixel` on.
    /// `sums_stride` leads from row to row. The epilogue has been applied, unless it `finishes` them.
    void store_line(const Kernels<T>& kernels, std::int64_t row, std::int64_t rows, std::int64_t pixel,
                    std::int64_t cols, T* sums, std::ptrdiff_t sums_stride, bool finishes) const {
        const Epilogue<T> part = epilogue(row, pixel);
        for (std::int64_t r = 0; residual_ && r < rows; ++r) {
            const std::byte* added = residual_ + row_at(residual_strides_, row + r) + pixel * residual_strides_[4];
            add_residual(kernels, added, cols, sums + r * sums_stride);
        }
        half_->narrow({sums, sums_stride, rows, cols, y_ + row_at(y_strides_, row) + pixel * y_strides_[4],
                       y_strides_[1], y_strides_[4], finishes ? &part : nullptr});
    }

    /// The same for all pixels of the box. Lines of them are `line_stride` apart; dense ones, if it `finishes`.
    void store_rows(const Kernels<T>& kernels, std::int64_t row, std::int64_t rows, T* sums, std::ptrdiff_t sums_stride,
                    std::ptrdiff_t line_stride, bool finishes = false) const {
        const auto [planes, lines, cols] = box_.size;
        if (line_stride == cols && is_one_line()) {
            return store_line(kernels, row, rows, 0, box_.pixels(), sums, sums_stride, finishes);
        }
        for (std::int64_t r = row; r < row + rows; ++r, sums += sums_stride) {
            for (std::int64_t d = 0; d < planes; ++d) {
                T* const plane = sums + d * lines * line_stride;
                for (std::int64_t h = 0; residual_ && h < lines; ++h) {
                    const std::byte* added = residual_ + row_at(residual_strides_, r) + offset(residual_strides_, d, h);
                    add_residual(kernels, added, cols, plane + h * line_stride);
                }
                half_->narrow({plane, line_stride, lines, cols, y_ + row_at(y_strides_, r) + d * y_strides_[2],
                               y_strides_[3], y_strides_[4]});
            }
        }
    }

    /// Finishes the sums of one row and brings them to y, wherever its pixels lie. Lines of pixels are `sums_stride`
    /// apart.
    void scatter(const Kernels<T>& kernels, std::int64_t row, T* sums, std::ptrdiff_t sums_stride) const {
        const T bias = epilogue_.bias[row];
        const std::int64_t width = box_.size[2];
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h, sums += sums_stride) {
                std::byte* to = y_ + row_at(y_strides_, row) + offset(y_strides_, d, h);
                const std::byte* added =
                    residual_ ? residual_ + row_at(residual_strides_, row) + offset(residual_strides_, d, h) : nullptr;
                const auto finished = [&](std::int64_t w) {
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
                    return sum;
                };
                const auto write = [&](const auto& element) {
                    for (std::int64_t w = 0; w < width; ++w, to += y_strides_[4]) {
                        const T value = element(w);
                        std::memcpy(to, &value, sizeof(T));
                    }
                };
                if (epilogue_.curve == Curve::none) {
                    write(finished);
                    continue;
                }
                for (std::int64_t w = 0; w < width; ++w) sums[w] = finished(w);
                kernels.bend({sums, 0, 1, width, epilogue_.curve, epilogue_.slope});
                write([&](std::int64_t w) { return sums[w]; });
            }
        }
    }

    /// Makes what went straight to memory known to other threads like all else.
    void finish_streams() const {
        if (passes_caches()) std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    /// Whether rows go straight to memory: where y is so large that its beginning has left the nearer caches before its
    /// end is written, to fetch its lines first, only to overwrite them, would take as long as to write them.
    bool passes_caches() const {
        const double bytes =
            double(shape_.batch * shape_.groups * shape_.out_channels) * double(shape_.pixels * sizeof(T));
        return bytes >= 8 * double(second_level_cache) && epilogue_.curve == Curve::none &&
               reinterpret_cast<std::uintptr_t>(row(0)) % cache_line == 0 &&
               y_strides_[1] % std::int64_t(cache_line) == 0 &&
               (is_run(y_strides_) || y_strides_[2] % std::int64_t(cache_line) == 0);
    }

  private:
    /// Whether all pixels of the box follow each other, where those of a plane do.
    bool is_run(const ByteStrides& strides) const {
        return box_.size[0] == 1 || strides[2] == box_.size[1] * box_.size[2] * std::int64_t(sizeof(T));
    }

    /// Adds a line of the residual's halves to sums that have their bias, and applies the activation.
    void add_residual(const Kernels<T>& kernels, const std::byte* line, std::int64_t cols, T* sums) const {
        add_halves(kernels, *half_, activation_, line, residual_strides_[4], cols, sums);
    }

    /// Whether the pixels of each two of so many rows take turns in y.
    bool holds_pairs(std::int64_t rows) const {
        const auto misplaced = [](std::int64_t bytes) { return bytes % std::int64_t(alignof(T)) != 0; };
        return shape_.parts == 2 && first_row_ % 2 == 0 && rows % 2 == 0 &&
               y_strides_[4] == 2 * std::int64_t(sizeof(T)) &&
               !misplaced(std::int64_t(reinterpret_cast<std::intptr_t>(y_))) &&
               std::none_of(y_strides_.begin() + 1, y_strides_.end(), misplaced);
    }

    /// Brings the finished sums of two such rows to y.
    void join_rows(std::int64_t row, const T* real, const T* imaginary, std::ptrdiff_t line_stride) const {
        const bool in_one_line = line_stride == box_.size[2] && is_one_line();
        const std::int64_t cols = in_one_line ? box_.pixels() : box_.size[2];
        for (std::int64_t line = 0; line * cols < box_.pixels(); ++line) {
            const std::int64_t d = line / box_.size[1], h = line % box_.size[1];
            T* __restrict const to = this->row(row) + elements(offset(y_strides_, d, h));
            const T *const re = real + line * line_stride, *const im = imaginary + line * line_stride;
            for (std::int64_t w = 0; w < cols; ++w) {
                to[2 * w] = re[w];
                to[2 * w + 1] = im[w];
            }
        }
    }

    static std::ptrdiff_t elements(std::int64_t bytes) { return std::ptrdiff_t(bytes / std::int64_t(sizeof(T))); }
    static std::int64_t offset(const ByteStrides& strides, std::int64_t d, std::int64_t h) {
        return d * strides[2] + h * strides[3];
    }
    /// How far the channel of the band's row `r` is from the first of all.
    std::int64_t row_at(const ByteStrides& strides, std::int64_t r) const {
        return shape_.channel_at(strides[1], first_row_ + r, sizeof(T));
    }

    const ConvShape& shape_;
    const PixelBox& box_;
    const std::int64_t first_row_;  // of the band, among those of all groups
    const ByteStrides& y_strides_;
    const ByteStrides& residual_strides_;
    // The first pixel in the first channel of all.
    std::byte* y_;
    const std::byte* residual_ = nullptr;
    const ActivationSteps<T>& activation_;
    const HalfKernels<T>* const half_;
    Epilogue<T> epilogue_;
    bool joins_rows_ = false;
};

}  // namespace flatconv

#endif
