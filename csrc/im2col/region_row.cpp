// Copies line by line: what lies inside the image in one go, padding one by one.
#include "im2col/region_row.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "problem/padding.hpp"

namespace flatconv {

template <typename T>
RegionRow<T>::RegionRow(const Kernels<T>& kernels, const HalfKernels<T>* half, const ConvShape& shape,
                        const ByteStrides& strides, const Extent& tap) noexcept
    : kernels_(kernels), half_(half), shape_(shape), strides_(strides) {
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        tap_at_[axis] = tap[axis] * shape.dilation[axis] - shape.pad_before[axis];
    }
    const std::int64_t start = tap_at_[2], stride = shape.stride[2], width = shape.output[2];
    const auto positions_before = [&](std::int64_t pixel) {
        return start >= pixel ? 0 : std::min(ceil_div(pixel - start, stride), width);
    };
    inside_ = positions_before(0);
    after_ = std::max(inside_, positions_before(shape.input[2]));
}

template <typename T>
std::int64_t RegionRow<T>::source(std::int64_t position, std::size_t axis) const noexcept {
    const std::int64_t coordinate = position * shape_.stride[axis] + tap_at_[axis];
    return source_index(shape_.padding_mode, coordinate, shape_.input[axis]);
}

template <typename T>
void RegionRow<T>::write_line(const std::byte* line, std::int64_t first, std::int64_t last, T* to) const noexcept {
    const auto pad = [&](std::int64_t end) {
        for (; first < end; ++first) {
            const std::int64_t pixel = source(first, 2);
            if (pixel == zero_element) {
                *to++ = T(0);
            } else if (half_) {
                half_->widen({line + pixel * strides_[4], 0, 0, 1, 1, to++, 0});
            } else {
                std::memcpy(to++, line + pixel * strides_[4], sizeof(T));
            }
        }
    };
    pad(std::min(inside_, last));
    const std::int64_t end = std::min(after_, last);
    if (first < end) {
        const std::byte* from = line + (first * shape_.stride[2] + tap_at_[2]) * strides_[4];
        const std::int64_t step = shape_.stride[2] * strides_[4];
        if (half_) {
            half_->widen({from, 0, step, 1, end - first, to, 0});
        } else if (step == std::int64_t(sizeof(T))) {
            std::memcpy(to, from, std::size_t(end - first) * sizeof(T));
        } else if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) == 0 && step % std::int64_t(sizeof(T)) == 0) {
            kernels_.copy_block({reinterpret_cast<const T*>(from), 0, std::ptrdiff_t(step / std::int64_t(sizeof(T))), 1,
                                 end - first, to, 0});
        } else {
            for (std::int64_t i = 0; i < end - first; ++i) std::memcpy(to + i, from + i * step, sizeof(T));
        }
        to += end - first;
        first = end;
    }
    pad(last);
}

template <typename T>
std::int64_t RegionRow<T>::whole_lines(const std::byte* from, std::int64_t line, std::int64_t most) const noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    if (half_ || inside_ > 0 || after_ < shape_.output[2]) return 0;
    if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) != 0 || (strides_[3] | strides_[4]) % bytes != 0) return 0;
    const std::int64_t first = line * shape_.stride[1] + tap_at_[1];
    const std::int64_t inside = first < 0 ? 0 : ceil_div(shape_.input[1] - first, shape_.stride[1]);
    return std::min({most, inside, shape_.output[1] - line});
}

template <typename T>
void RegionRow<T>::write(const std::byte* channel, std::int64_t first, std::int64_t last, T* to) const noexcept {
    const auto [planes, lines, width] = shape_.output;
    std::int64_t line = first / width, w = first % width;
    std::int64_t h = line % lines, d = line / lines % planes;
    const std::byte* image = channel + line / (lines * planes) * strides_[0];
    for (std::int64_t left = last - first; left > 0;) {
        const std::int64_t d_source = source(d, 0), h_source = source(h, 1);
        const bool outside = d_source == zero_element || h_source == zero_element;
        const std::byte* const from = outside ? nullptr : image + d_source * strides_[2] + h_source * strides_[3];
        if (const std::int64_t whole = w == 0 && from ? whole_lines(from, h, left / width) : 0; whole > 1) {
            constexpr std::int64_t bytes = sizeof(T);
            kernels_.copy_block({reinterpret_cast<const T*>(from + tap_at_[2] * strides_[4]),
                                 std::ptrdiff_t(shape_.stride[1] * strides_[3] / bytes),
                                 std::ptrdiff_t(shape_.stride[2] * strides_[4] / bytes), whole, width, to,
                                 std::ptrdiff_t(width)});
            to += whole * width;
            left -= whole * width;
            h += whole - 1;
        } else {
            const std::int64_t count = std::min(width - w, left);
            if (from) {
                write_line(from, w, w + count, to);
            } else {
                std::fill_n(to, count, T(0));
            }
            to += count;
            left -= count;
        }
        w = 0;
        if (++h < lines) continue;
        h = 0;
        if (++d < planes) continue;
        d = 0;
        image += strides_[0];
    }
}

template class RegionRow<float>;
template class RegionRow<double>;

}  // namespace flatconv
