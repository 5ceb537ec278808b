// im2col and col2im, element by element through tables of sources.
#include "im2col/region_matrix.hpp"

#include <cstring>

#include "problem/padding.hpp"

namespace flatconv {

namespace {

/// write_regions for elements of a size known to the compiler, which turns the copies into moves.
template <std::size_t Bytes>
void write_regions_of(const ConvShape& shape, const RegionTables& tables, const std::byte* image,
                      const ByteStrides& strides, std::int64_t row, std::byte* to) {
    const auto& [d_taps, h_taps, w_taps] = tables.axes;
    const std::int64_t od = row / shape.output[1], oh = row % shape.output[1];
    for (std::int64_t ow = 0; ow < shape.output[2]; ++ow) {
        for (std::int64_t c = 0; c < shape.in_channels; ++c) {
            const std::byte* channel = image + c * strides[1];
            for (std::int64_t kd = 0; kd < shape.kernel[0]; ++kd) {
                const std::int64_t d = d_taps.source(od, kd);
                for (std::int64_t kh = 0; kh < shape.kernel[1]; ++kh) {
                    const std::int64_t h = h_taps.source(oh, kh);
                    const bool outside = d == zero_element || h == zero_element;
                    const std::byte* from = outside ? nullptr : channel + d * strides[2] + h * strides[3];
                    for (std::int64_t kw = 0; kw < shape.kernel[2]; ++kw, to += Bytes) {
                        const std::int64_t w = w_taps.source(ow, kw);
                        if (outside || w == zero_element) {
                            std::memset(to, 0, Bytes);
                        } else {
                            std::memcpy(to, from + w * strides[4], Bytes);
                        }
                    }
                }
            }
        }
    }
}

}  // namespace

TapTable::TapTable(const ConvShape& shape, std::size_t axis)
    : taps_(shape.kernel[axis]), source_(std::size_t(shape.output[axis] * taps_)) {
    for (std::int64_t position = 0, at = 0; position < shape.output[axis]; ++position) {
        for (std::int64_t tap = 0; tap < taps_; ++tap, ++at) {
            const std::int64_t coordinate =
                position * shape.stride[axis] + tap * shape.dilation[axis] - shape.pad_before[axis];
            source_[std::size_t(at)] = source_index(shape.padding_mode, coordinate, shape.input[axis]);
        }
    }
}

void write_regions(const ConvShape& shape, const RegionTables& tables, const std::byte* image,
                   const ByteStrides& strides, std::size_t element_bytes, std::int64_t row, std::byte* regions) {
    const auto write = [&](auto function) { function(shape, tables, image, strides, row, regions); };
    switch (element_bytes) {
        case 1: return write(write_regions_of<1>);
        case 2: return write(write_regions_of<2>);
        case 4: return write(write_regions_of<4>);
        case 8: return write(write_regions_of<8>);
        default: return write(write_regions_of<16>);
    }
}

template <typename T>
void sum_regions(const ConvShape& shape, const RegionTables& tables, const T* regions, std::int64_t channel,
                 std::byte* image, const ByteStrides& strides) {
    const auto& [d_taps, h_taps, w_taps] = tables.axes;
    std::byte* x = image + channel * strides[1];
    const auto each_pixel = [&](auto&& visit) {
        for (std::int64_t d = 0; d < shape.input[0]; ++d) {
            for (std::int64_t h = 0; h < shape.input[1]; ++h) {
                for (std::int64_t w = 0; w < shape.input[2]; ++w) {
                    visit(x + d * strides[2] + h * strides[3] + w * strides[4]);
                }
            }
        }
    };
    each_pixel([](std::byte* pixel) { std::memset(pixel, 0, sizeof(T)); });
    const T* row = regions + channel * shape.taps;
    for (std::int64_t od = 0; od < shape.output[0]; ++od) {
        for (std::int64_t oh = 0; oh < shape.output[1]; ++oh) {
            for (std::int64_t ow = 0; ow < shape.output[2]; ++ow, row += shape.depth) {
                const T* from = row;
                for (std::int64_t kd = 0; kd < shape.kernel[0]; ++kd) {
                    for (std::int64_t kh = 0; kh < shape.kernel[1]; ++kh) {
                        for (std::int64_t kw = 0; kw < shape.kernel[2]; ++kw, ++from) {
                            const std::int64_t d = d_taps.source(od, kd);
                            const std::int64_t h = h_taps.source(oh, kh);
                            const std::int64_t w = w_taps.source(ow, kw);
                            if (d == zero_element || h == zero_element || w == zero_element) continue;
                            std::byte* pixel = x + d * strides[2] + h * strides[3] + w * strides[4];
                            T sum;
                            std::memcpy(&sum, pixel, sizeof sum);
                            sum += *from;
                            std::memcpy(pixel, &sum, sizeof sum);
                        }
                    }
                }
            }
        }
    }
}

template void sum_regions<float>(const ConvShape&, const RegionTables&, const float*, std::int64_t, std::byte*,
                                 const ByteStrides&);
template void sum_regions<double>(const ConvShape&, const RegionTables&, const double*, std::int64_t, std::byte*,
                                  const ByteStrides&);

}  // namespace flatconv
