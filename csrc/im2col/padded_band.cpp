// Padding and gathering, row by row.
#include "im2col/padded_band.hpp"

#include <algorithm>
#include <cstring>

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

/// A run along a row, which part of it lies inside the image, and how to copy it from any row.
template <typename T>
class RowCopy {
  public:
    RowCopy(PaddingMode mode, RunPart part, std::int64_t size, std::int64_t stride_bytes)
        : mode_(mode),
          part_(part),
          size_(size),
          stride_bytes_(stride_bytes),
          inside_(std::clamp<std::int64_t>(part.start < 0 ? ceil_div(-part.start, part.step) : 0, 0, part.length)),
          after_(std::clamp<std::int64_t>(part.start < size ? ceil_div(size - part.start, part.step) : 0, inside_,
                                          part.length)) {}

    void zero(T* to) const { std::fill_n(to, part_.length, T(0)); }

    void copy(const std::byte* row, T* to) const {
        pad(row, 0, inside_, to);
        if (inside_ < after_) copy_inside(row + part_.coordinate(inside_) * stride_bytes_, to);
        pad(row, after_, part_.length, to);
    }

  private:
    void copy_inside(const std::byte* from, T* to) const {
        const std::int64_t step = part_.step * stride_bytes_;
        if (step == std::int64_t(sizeof(T))) {
            std::memcpy(to + inside_, from, std::size_t(after_ - inside_) * sizeof(T));
            return;
        }
        std::memcpy(to + inside_, from, sizeof(T));
        for (std::int64_t i = inside_ + 1; i < after_; ++i) std::memcpy(to + i, from += step, sizeof(T));
    }

    void pad(const std::byte* row, std::int64_t begin, std::int64_t end, T* to) const {
        for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t source = source_index(mode_, part_.coordinate(i), size_);
            if (source == zero_element) {
                to[i] = T(0);
            } else {
                std::memcpy(to + i, row + source * stride_bytes_, sizeof(T));
            }
        }
    }

    const PaddingMode mode_;
    const RunPart part_;
    const std::int64_t size_;
    const std::int64_t stride_bytes_;
    const std::int64_t inside_;  // the first element inside the image, and
    const std::int64_t after_;   // the first one after it
};

}  // namespace

BandLayout::BandLayout(const ConvShape& shape, const Extent& box)
    : axes_{AxisBand(shape.kernel[0], shape.stride[0], shape.dilation[0], box[0]),
            AxisBand(shape.kernel[1], shape.stride[1], shape.dilation[1], box[1]),
            AxisBand(shape.kernel[2], shape.stride[2], shape.dilation[2], box[2])} {}

template <typename T>
void BandLayout::pad_channel(const ConvShape& shape, const std::byte* channel, const Extent& strides,
                             const PixelBox& box, T* band) const {
    const auto source = [&](const RunPart& part, std::int64_t element, std::size_t axis) {
        return source_index(shape.padding_mode, part.coordinate(element), shape.input[axis]);
    };
    for (std::int64_t w_index = 0; w_index < axes_[2].runs(); ++w_index) {
        const AxisRun w_run = axes_[2].run(w_index);
        const RowCopy<T> row_copy(shape.padding_mode, part_of(w_run, axes_[2], shape, box, 2), shape.input[2],
                                  strides[2]);
        for (std::int64_t d_index = 0; d_index < axes_[0].runs(); ++d_index) {
            const AxisRun d_run = axes_[0].run(d_index);
            const RunPart d_part = part_of(d_run, axes_[0], shape, box, 0);
            for (std::int64_t d = 0; d < d_part.length; ++d) {
                const std::int64_t d_source = source(d_part, d, 0);
                for (std::int64_t h_index = 0; h_index < axes_[1].runs(); ++h_index) {
                    const AxisRun h_run = axes_[1].run(h_index);
                    const RunPart h_part = part_of(h_run, axes_[1], shape, box, 1);
                    T* row = band + position_at(d_run.at + d, h_run.at, w_run.at);
                    for (std::int64_t h = 0; h < h_part.length; ++h, row += row_length()) {
                        const std::int64_t h_source = source(h_part, h, 1);
                        if (d_source == zero_element || h_source == zero_element) {
                            row_copy.zero(row);
                        } else {
                            row_copy.copy(channel + d_source * strides[0] + h_source * strides[1], row);
                        }
                    }
                }
            }
        }
    }
}

template void BandLayout::pad_channel<float>(const ConvShape&, const std::byte*, const Extent&, const PixelBox&,
                                             float*) const;
template void BandLayout::pad_channel<double>(const ConvShape&, const std::byte*, const Extent&, const PixelBox&,
                                              double*) const;

}  // namespace flatconv
