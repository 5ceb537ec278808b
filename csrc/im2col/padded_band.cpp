// Padding and gathering, row by row.
#include "im2col/padded_band.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked.hpp"
#include "problem/padding.hpp"

namespace flatconv {

namespace {

/// The part of a run that a box needs: `length` elements at image coordinates start, start + step, ….
struct RunPart {
    std::int64_t start;
    std::int64_t step;
    std::int64_t length;

    std::int64_t coordinate(std::int64_t element) const { return start + element * step; }
};

RunPart part_of(const AxisRun& run, const AxisBand& band, const ConvShape& shape, const PixelBox& box,
                std::size_t axis) {
    return {box.first[axis] * shape.stride[axis] + run.first - shape.pad_before[axis], shape.stride[axis],
            run.length - (band.positions() - box.size[axis])};
}

/// The elements of a run that lie inside the image: [begin, end).
struct Inside {
    std::int64_t begin;
    std::int64_t end;

    Inside(const RunPart& part, std::int64_t size)
        : begin(std::clamp<std::int64_t>(part.start < 0 ? ceil_div(-part.start, part.step) : 0, 0, part.length)),
          end(std::clamp<std::int64_t>(part.start < size ? ceil_div(size - part.start, part.step) : 0, begin,
                                       part.length)) {}
};

/// A run along rows, and how to copy it from any of them.
template <typename T>
class RowCopy {
  public:
    RowCopy(const Kernels<T>& kernels, const HalfKernels<T>* half, PaddingMode mode, const RunPart& part,
            std::int64_t size, std::int64_t stride_bytes)
        : kernels_(kernels),
          half_(half),
          mode_(mode),
          part_(part),
          size_(size),
          stride_bytes_(stride_bytes),
          inside_(part, size) {}

    void zero(T* to) const { std::fill_n(to, part_.length, T(0)); }

    /// Copies `rows` rows of the image, which are `row_bytes` apart.
    void copy(const std::byte* from, std::int64_t row_bytes, std::int64_t rows, T* to, std::int64_t to_stride) const {
        for (std::int64_t r = 0; r < rows; ++r) {
            pad(from + r * row_bytes, 0, inside_.begin, to + r * to_stride);
            pad(from + r * row_bytes, inside_.end, part_.length, to + r * to_stride);
        }
        if (inside_.begin == inside_.end) return;
        copy_inside(from + part_.coordinate(inside_.begin) * stride_bytes_, row_bytes, rows, to + inside_.begin,
                    to_stride);
    }

  private:
    void copy_inside(const std::byte* from, std::int64_t row_bytes, std::int64_t rows, T* to,
                     std::int64_t to_stride) const {
        constexpr std::int64_t bytes = sizeof(T);
        const std::int64_t step = part_.step * stride_bytes_, cols = inside_.end - inside_.begin;
        if (half_) {
            half_->widen({from, row_bytes, step, rows, cols, to, to_stride});
            return;
        }
        if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) == 0 && step % bytes == 0 && row_bytes % bytes == 0) {
            kernels_.copy_block({reinterpret_cast<const T*>(from), std::ptrdiff_t(row_bytes / bytes),
                                 std::ptrdiff_t(step / bytes), rows, cols, to, std::ptrdiff_t(to_stride)});
            return;
        }
        for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < cols; ++c) {
                std::memcpy(to + r * to_stride + c, from + r * row_bytes + c * step, sizeof(T));
            }
        }
    }

    void pad(const std::byte* row, std::int64_t begin, std::int64_t end, T* to) const {
        for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t source = source_index(mode_, part_.coordinate(i), size_);
            if (source == zero_element) {
                to[i] = T(0);
            } else if (half_) {
                half_->widen({row + source * stride_bytes_, 0, 0, 1, 1, to + i, 0});
            } else {
                std::memcpy(to + i, row + source * stride_bytes_, sizeof(T));
            }
        }
    }

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_;
    const PaddingMode mode_;
    const RunPart part_;
    const std::int64_t size_;
    const std::int64_t stride_bytes_;
    const Inside inside_;
};

}  // namespace

BandLayout::BandLayout(const ConvShape& shape, const Extent& box)
    : axes_{AxisBand(shape.kernel[0], shape.stride[0], shape.dilation[0], box[0], shape.mirrored),
            AxisBand(shape.kernel[1], shape.stride[1], shape.dilation[1], box[1], shape.mirrored),
            AxisBand(shape.kernel[2], shape.stride[2], shape.dilation[2], box[2], shape.mirrored)} {}

std::int64_t BandLayout::image_blocks(const ConvShape& shape, const Extent& strides, const PixelBox& box,
                                      ImageBlock* blocks, bool& in_place) const {
    std::int64_t count = 0;
    for (std::int64_t d_index = 0; d_index < axes_[0].runs(); ++d_index) {
        const AxisRun d_run = axes_[0].run(d_index);
        const RunPart d_part = part_of(d_run, axes_[0], shape, box, 0);
        const Inside d_inside(d_part, shape.input[0]);
        for (std::int64_t d = d_inside.begin; d < d_inside.end; ++d) {
            for (std::int64_t h_index = 0; h_index < axes_[1].runs(); ++h_index) {
                const AxisRun h_run = axes_[1].run(h_index);
                const RunPart h_part = part_of(h_run, axes_[1], shape, box, 1);
                const Inside h_inside(h_part, shape.input[1]);
                for (std::int64_t w_index = 0; w_index < axes_[2].runs(); ++w_index) {
                    const AxisRun w_run = axes_[2].run(w_index);
                    const RunPart w_part = part_of(w_run, axes_[2], shape, box, 2);
                    const Inside w_inside(w_part, shape.input[2]);
                    ImageBlock block{};
                    block.rows = h_inside.end - h_inside.begin;
                    block.cols = w_inside.end - w_inside.begin;
                    if (block.rows == 0 || block.cols == 0) continue;
                    block.from = std::ptrdiff_t(d_part.coordinate(d) * strides[0] +
                                                h_part.coordinate(h_inside.begin) * strides[1] +
                                                w_part.coordinate(w_inside.begin) * strides[2]);
                    block.from_stride = std::ptrdiff_t(h_part.step * strides[1]);
                    block.from_step = std::ptrdiff_t(w_part.step * strides[2]);
                    block.to =
                        std::ptrdiff_t(position_at(d_run.at + d, h_run.at + h_inside.begin, w_run.at + w_inside.begin));
                    block.to_stride = std::ptrdiff_t(row_length());
                    // Rows that follow each other are one row.
                    if (block.from_stride == block.from_step * block.cols && block.to_stride == block.cols) {
                        block.cols *= std::exchange(block.rows, 1);
                    }
                    in_place = in_place && block.goes_where(blocks[count]);
                    blocks[count++] = block;
                }
            }
        }
    }
    return count;
}

template <typename T>
void BandLayout::pad_channel(const Kernels<T>& kernels, const HalfKernels<T>* half, const ConvShape& shape,
                             const std::byte* channel, const Extent& strides, const PixelBox& box, T* band) const {
    const auto source = [&](const RunPart& part, std::int64_t element, std::size_t axis) {
        return source_index(shape.padding_mode, part.coordinate(element), shape.input[axis]);
    };
    for (std::int64_t w_index = 0; w_index < axes_[2].runs(); ++w_index) {
        const AxisRun w_run = axes_[2].run(w_index);
        const RowCopy<T> row_copy(kernels, half, shape.padding_mode, part_of(w_run, axes_[2], shape, box, 2),
                                  shape.input[2], strides[2]);
        for (std::int64_t d_index = 0; d_index < axes_[0].runs(); ++d_index) {
            const AxisRun d_run = axes_[0].run(d_index);
            const RunPart d_part = part_of(d_run, axes_[0], shape, box, 0);
            for (std::int64_t d = 0; d < d_part.length; ++d) {
                const std::int64_t d_source = source(d_part, d, 0);
                const std::byte* plane = d_source == zero_element ? nullptr : channel + d_source * strides[0];
                for (std::int64_t h_index = 0; h_index < axes_[1].runs(); ++h_index) {
                    const AxisRun h_run = axes_[1].run(h_index);
                    const RunPart h_part = part_of(h_run, axes_[1], shape, box, 1);
                    const Inside inside(h_part, shape.input[1]);
                    T* const rows = band + position_at(d_run.at + d, h_run.at, w_run.at);
                    const auto pad_row = [&](std::int64_t h) {
                        const std::int64_t h_source = plane ? source(h_part, h, 1) : zero_element;
                        T* const row = rows + h * row_length();
                        if (h_source != zero_element) {
                            row_copy.copy(plane + h_source * strides[1], 0, 1, row, 0);
                        } else {
                            row_copy.zero(row);
                        }
                    };
                    for (std::int64_t h = 0; h < inside.begin; ++h) pad_row(h);
                    if (plane && inside.begin < inside.end) {
                        row_copy.copy(plane + h_part.coordinate(inside.begin) * strides[1], h_part.step * strides[1],
                                      inside.end - inside.begin, rows + inside.begin * row_length(), row_length());
                    } else {
                        for (std::int64_t h = inside.begin; h < inside.end; ++h) pad_row(h);
                    }
                    for (std::int64_t h = inside.end; h < h_part.length; ++h) pad_row(h);
                }
            }
        }
    }
}

template void BandLayout::pad_channel<float>(const Kernels<float>&, const HalfKernels<float>*, const ConvShape&,
                                             const std::byte*, const Extent&, const PixelBox&, float*) const;
template void BandLayout::pad_channel<double>(const Kernels<double>&, const HalfKernels<double>*, const ConvShape&,
                                              const std::byte*, const Extent&, const PixelBox&, double*) const;
template void BandLayout::pad_channel<std::uint16_t>(const Kernels<std::uint16_t>&, const HalfKernels<std::uint16_t>*,
                                                     const ConvShape&, const std::byte*, const Extent&, const PixelBox&,
                                                     std::uint16_t*) const;

}  // namespace flatconv
