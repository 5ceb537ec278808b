// im2col and col2im, kernel row by kernel row: what lies inside the image is moved in one go, padding tap by tap.
#include "im2col/region_matrix.hpp"

#include <algorithm>
#include <complex>
#include <cstring>
#include <utility>

#include "base/checked.hpp"
#include "problem/padding.hpp"

namespace flatconv {

namespace {

/// All from `first` on, before `last`: taps of one kernel row, or of the whole kernel in row-major order, or pixels.
struct Range {
    std::int64_t first, last;
};

/// Those of `taps` whose coordinate, start + tap * dilation, is one of `pixels`.
Range taps_within(Range taps, std::int64_t start, std::int64_t dilation, Range pixels) {
    // Nearly every kernel row, and spares it the divisions.
    if (start + taps.first * dilation >= pixels.first && start + (taps.last - 1) * dilation < pixels.last) return taps;
    const auto taps_before = [&](std::int64_t pixel) {
        if (start >= pixel) return taps.first;
        // Most steps are 1, and a division takes as long as a short row.
        return std::clamp(dilation == 1 ? pixel - start : ceil_div(pixel - start, dilation), taps.first, taps.last);
    };
    return {taps_before(pixels.first), taps_before(pixels.last)};
}

Extent unflatten(std::int64_t index, const Extent& sizes) {
    return {index / (sizes[1] * sizes[2]), index / sizes[2] % sizes[1], index % sizes[2]};
}

bool has_pixels(const ConvShape& shape) { return shape.input[0] > 0 && shape.input[1] > 0 && shape.input[2] > 0; }

/// Steps in row-major order; false at the end, where it starts over.
bool advance(Extent& index, const Extent& sizes) {
    for (std::size_t axis = max_spatial_rank; axis-- > 0;) {
        if (++index[axis] < sizes[axis]) return true;
        index[axis] = 0;
    }
    return false;
}

/// The coordinate of a position's first tap.
std::int64_t start_of(const ConvShape& shape, const Extent& position, std::size_t axis) {
    return position[axis] * shape.stride[axis] - shape.pad_before[axis];
}

std::int64_t source(const ConvShape& shape, std::int64_t coordinate, std::size_t axis) {
    if (coordinate >= 0 && coordinate < shape.input[axis]) return coordinate;
    return source_index(shape.padding_mode, coordinate, shape.input[axis]);
}

/// visit(d, h, taps) for the kernel rows of `taps` in order: the line of the image that a row reads, or zero_element
/// for d or h, and its taps.
template <typename Visit>
void each_kernel_row(const ConvShape& shape, const Extent& position, Range taps, const Visit& visit) {
    Extent tap = taps.first == 0 ? Extent{0, 0, 0} : unflatten(taps.first, shape.kernel);
    const std::int64_t d_start = start_of(shape, position, 0), h_start = start_of(shape, position, 1);
    for (std::int64_t left = taps.last - taps.first; left > 0; ++tap[0], tap[1] = 0) {
        const std::int64_t d = source(shape, d_start + tap[0] * shape.dilation[0], 0);
        for (; tap[1] < shape.kernel[1] && left > 0; ++tap[1], tap[2] = 0) {
            const std::int64_t h = source(shape, h_start + tap[1] * shape.dilation[1], 1);
            const std::int64_t count = std::min(left, shape.kernel[2] - tap[2]);
            visit(d, h, Range{tap[2], tap[2] + count});
            left -= count;
        }
    }
}

/// Where the kernel rows of one position read along the width, if only some of the pixels count.
struct RowTaps {
    const ConvShape& shape;
    const Range pixels;
    const std::int64_t start, byte_stride;
    const Range inside;       // the taps that read the image,
    const Range own;          // and those of them that read `pixels`
    const std::int64_t step;  // the bytes between two of those; the dilation of a single tap may be any number

    RowTaps(const ConvShape& of, std::int64_t stride, const Extent& position, Range that_count)
        : shape(of),
          pixels(that_count),
          start(start_of(of, position, 2)),
          byte_stride(stride),
          inside(taps_within({0, of.kernel[2]}, start, of.dilation[2], {0, of.input[2]})),
          own(taps_within(inside, start, of.dilation[2], pixels)),
          step(own.last - own.first > 1 ? of.dilation[2] * stride : 0) {}

    /// How far from the beginning of a line of the image the pixel is that a tap reads.
    std::int64_t pixel(std::int64_t tap) const { return (start + tap * shape.dilation[2]) * byte_stride; }

    /// Calls `image` and `padding` in the order of `taps`, for those that read `pixels` and those that read padding.
    template <typename Image, typename Padding>
    void split(Range taps, const Image& image, const Padding& padding) const {
        if (own.first <= taps.first && taps.last <= own.last) return image(taps);
        const auto cut = [&](Range range) {
            return Range{std::clamp(range.first, taps.first, taps.last), std::clamp(range.last, taps.first, taps.last)};
        };
        const Range in = cut(inside), counted = cut(own);
        padding(Range{taps.first, in.first});
        if (counted.first < counted.last) image(counted);
        padding(Range{in.last, taps.last});
    }

    /// visit(tap, offset) for the taps of a run of padding that repeats some of `pixels`: where these are.
    template <typename Visit>
    void each_repeated(Range run, const Visit& visit) const {
        for (std::int64_t tap = run.first; tap < run.last; ++tap) {
            const std::int64_t w = source_index(shape.padding_mode, start + tap * shape.dilation[2], shape.input[2]);
            if (w >= pixels.first && w < pixels.last) visit(tap, w * byte_stride);
        }
    }
};

/// Shorter rows are done before a call, or a loop over vectors, has begun.
constexpr std::int64_t least_for_vectors = 8;

/// Copies the first and the last of so many bytes: all of them, where these meet or overlap.
template <std::size_t PieceBytes>
void copy_ends(std::byte* to, const std::byte* from, std::size_t bytes) {
    std::memcpy(to, from, PieceBytes);
    std::memcpy(to + (bytes - PieceBytes), from + (bytes - PieceBytes), PieceBytes);
}

/// A row of elements that lie next to each other; a short one takes two moves, which may overlap.
template <std::size_t Bytes>
void copy_row(std::byte* to, const std::byte* from, std::int64_t count) {
    const std::size_t bytes = std::size_t(count) * Bytes;
    if (count > 2 * least_for_vectors) {
        std::memcpy(to, from, bytes);
    } else if (count >= 8) {
        copy_ends<8 * Bytes>(to, from, bytes);
    } else if (count >= 4) {
        copy_ends<4 * Bytes>(to, from, bytes);
    } else if (count >= 2) {
        copy_ends<2 * Bytes>(to, from, bytes);
    } else {
        std::memcpy(to, from, Bytes);
    }
}

/// The taps of one kernel row, for elements of a size known to the compiler, which turns the copies into moves.
template <std::size_t Bytes>
void write_kernel_row(const RowTaps& row, Range taps, const std::byte* line, std::byte* to) {
    constexpr std::int64_t bytes = Bytes;
    const auto element = [&](std::int64_t tap) { return to + (tap - taps.first) * bytes; };
    const auto copy_pixels = [&](Range run) {
        const std::byte* from = line + row.pixel(run.first);
        std::byte* elements = element(run.first);
        const std::int64_t count = run.last - run.first, step = row.step;
        if (step == bytes) {
            copy_row<Bytes>(elements, from, count);
        } else {
            for (std::int64_t i = 0; i < count; ++i) std::memcpy(elements + i * bytes, from + i * step, Bytes);
        }
    };
    const auto write_padding = [&](Range run) {
        const std::int64_t count = run.last - run.first;
        if (row.shape.padding_mode == PaddingMode::zeros) {
            // Most often one or none, of which a call would take longer.
            if (count == 1) std::memset(element(run.first), 0, Bytes);
            if (count > 1) std::memset(element(run.first), 0, std::size_t(count) * Bytes);
        } else {
            row.each_repeated(
                run, [&](std::int64_t tap, std::int64_t pixel) { std::memcpy(element(tap), line + pixel, Bytes); });
        }
    };
    row.split(taps, copy_pixels, write_padding);
}

template <std::size_t Bytes>
void write_regions_of(const ConvShape& shape, const std::byte* x, const ByteStrides& strides, std::int64_t first,
                      std::int64_t last, std::byte* to) {
    std::int64_t tap = first % shape.taps, channel = first / shape.taps % shape.in_channels;
    const std::int64_t row = first / shape.depth;
    std::int64_t image = row / shape.pixels;
    Extent position = unflatten(row % shape.pixels, shape.output);
    for (std::int64_t left = last - first; left > 0;) {
        const RowTaps row_taps(shape, strides[4], position, {0, shape.input[2]});
        for (; channel < shape.in_channels && left > 0; ++channel, tap = 0) {
            const std::byte* pixels = x + (image * strides[0] + channel * strides[1]);
            const std::int64_t count = std::min(left, shape.taps - tap);
            each_kernel_row(shape, position, {tap, tap + count}, [&](std::int64_t d, std::int64_t h, Range taps) {
                const std::int64_t row_bytes = (taps.last - taps.first) * std::int64_t(Bytes);
                if (d == zero_element || h == zero_element) {
                    std::memset(to, 0, std::size_t(row_bytes));
                } else {
                    const std::byte* line = pixels + (d * strides[2] + h * strides[3]);
                    write_kernel_row<Bytes>(row_taps, taps, line, to);
                }
                to += row_bytes;
            });
            left -= count;
        }
        channel = 0;
        if (!advance(position, shape.output)) ++image;
    }
}

template <typename Stored>
void add_to(std::byte* pixel, const std::byte* from) {
    using T = Number<Stored>;
    store<T>(pixel, 0, load<T>(pixel, 0) + load<Stored>(from, 0));
}

/// All sums of four to eight elements that lie next to each other, as those of the first and of the last four: where
/// these overlap, both are the same sum.
template <typename Stored>
void add_ends(std::byte* pixels, const std::byte* from, std::int64_t count) {
    using T = Number<Stored>;
    constexpr std::int64_t piece = 4, pixel_bytes = sizeof(T), bytes = sizeof(Stored);
    std::byte* const last_pixels = pixels + (count - piece) * pixel_bytes;
    const std::byte* const last_from = from + (count - piece) * bytes;
    T first[piece], last[piece];
    for (std::int64_t i = 0; i < piece; ++i) {
        first[i] = load<T>(pixels, i * pixel_bytes) + load<Stored>(from, i * bytes);
        last[i] = load<T>(last_pixels, i * pixel_bytes) + load<Stored>(last_from, i * bytes);
    }
    std::memcpy(pixels, first, sizeof first);
    std::memcpy(last_pixels, last, sizeof last);
}

template <typename Stored>
void add_kernel_row(const RowTaps& row, Range taps, std::byte* line, const std::byte* from) {
    constexpr std::int64_t bytes = sizeof(Stored), pixel_bytes = sizeof(Number<Stored>);
    const auto element = [&](std::int64_t tap) { return from + (tap - taps.first) * bytes; };
    const auto add_pixels = [&](Range run) {
        std::byte* pixel = line + row.pixel(run.first);
        const std::byte* elements = element(run.first);
        const std::int64_t count = run.last - run.first, step = row.step;
        if (step == pixel_bytes && count >= 4 && count <= least_for_vectors) {
            add_ends<Stored>(pixel, elements, count);
        } else if (step == pixel_bytes && count > least_for_vectors) {
            for (std::int64_t i = 0; i < count; ++i) add_to<Stored>(pixel + i * pixel_bytes, elements + i * bytes);
        } else {
            for (std::int64_t i = 0; i < count; ++i) add_to<Stored>(pixel + i * step, elements + i * bytes);
        }
    };
    const auto add_padding = [&](Range run) {
        if (row.shape.padding_mode == PaddingMode::zeros) return;
        row.each_repeated(run,
                          [&](std::int64_t tap, std::int64_t pixel) { add_to<Stored>(line + pixel, element(tap)); });
    };
    row.split(taps, add_pixels, add_padding);
}

}  // namespace

void write_regions(const ConvShape& shape, const std::byte* x, const ByteStrides& strides, std::size_t element_bytes,
                   std::int64_t first, std::int64_t last, std::byte* regions) {
    std::byte* to = regions + first * std::int64_t(element_bytes);
    // An image without pixels, which x need not point to, is all padding.
    if (!has_pixels(shape)) {
        std::memset(to, 0, std::size_t(last - first) * element_bytes);
        return;
    }
    switch (element_bytes) {
        case 1: return write_regions_of<1>(shape, x, strides, first, last, to);
        case 2: return write_regions_of<2>(shape, x, strides, first, last, to);
        case 4: return write_regions_of<4>(shape, x, strides, first, last, to);
        case 8: return write_regions_of<8>(shape, x, strides, first, last, to);
        default: return write_regions_of<16>(shape, x, strides, first, last, to);
    }
}

ConvShape transposed_channel(const ConvShape& shape) {
    ConvShape channel = shape;
    std::swap(channel.kernel, channel.output);
    std::swap(channel.dilation, channel.stride);
    std::swap(channel.taps, channel.pixels);
    channel.batch = channel.in_channels = 1;
    channel.depth = channel.taps;
    return channel;
}

void write_transposed_regions(const ConvShape& shape, const std::byte* x, const ByteStrides& strides,
                              std::size_t element_bytes, std::int64_t first, std::int64_t last, std::byte* regions) {
    // Zeros alone, in any order, and nowhere to point to.
    if (!has_pixels(shape)) return write_regions(shape, x, strides, element_bytes, first, last, regions);
    const ConvShape channel_shape = transposed_channel(shape);
    const std::int64_t elements = shape.pixels * shape.taps;
    for (std::int64_t index = first / elements, begin = index * elements; begin < last; ++index, begin += elements) {
        const std::int64_t image = index / shape.in_channels, channel = index % shape.in_channels;
        write_regions(channel_shape, x + (image * strides[0] + channel * strides[1]), strides, element_bytes,
                      std::max<std::int64_t>(0, first - begin), std::min(elements, last - begin),
                      regions + begin * std::int64_t(element_bytes));
    }
}

template <typename Stored>
RegionSums<Stored>::RegionSums(const ConvShape& shape, const std::byte* regions, const ByteStrides& strides,
                               const ImagePart& part)
    : shape_(shape), regions_(regions), strides_(strides), part_(part), size_(shape.input) {
    const std::size_t axis = part.axis;
    low_[axis] = part.first;
    size_[axis] = part.last - part.first;
    const std::int64_t stride = shape.stride[axis], pad = shape.pad_before[axis], positions = shape.output[axis];
    const std::int64_t beyond_first = pad - (shape.kernel[axis] - 1) * shape.dilation[axis];
    const auto first_with = [&](std::int64_t start) {
        return std::min(positions, ceil_div(std::max<std::int64_t>(start, 0), stride));
    };
    const bool zeros = shape.padding_mode == PaddingMode::zeros;
    before_ = zeros ? 0 : first_with(pad);
    begin_ = first_with(part.first + beyond_first);
    end_ = first_with(part.last + pad);
    after_ = zeros ? positions : first_with(shape.input[axis] + beyond_first);
}

/// The first position from this one on, along the axis, of which a tap may read the part.
template <typename Stored>
std::int64_t RegionSums<Stored>::next_reaching(std::int64_t position) const {
    if (position < before_ || position >= after_) return position;
    if (position < begin_) return std::min(begin_, after_);
    return position < end_ ? position : after_;
}

template <typename Stored>
void RegionSums<Stored>::clear(std::int64_t first, std::int64_t last) const {
    Extent pixel = unflatten(first, size_);
    for (std::int64_t left = last - first; left > 0;) {
        const std::int64_t count = std::min(left, size_[2] - pixel[2]);
        std::byte* to = part_.channel + ((low_[0] + pixel[0]) * strides_[2] + (low_[1] + pixel[1]) * strides_[3] +
                                         (low_[2] + pixel[2]) * strides_[4]);
        constexpr std::size_t bytes = sizeof(Number<Stored>);
        if (strides_[4] == bytes) {
            std::memset(to, 0, std::size_t(count) * bytes);
        } else {
            for (std::int64_t i = 0; i < count; ++i) std::memset(to + i * strides_[4], 0, bytes);
        }
        left -= count;
        pixel[2] = size_[2] - 1;
        advance(pixel, size_);
    }
}

template <typename Stored>
void RegionSums<Stored>::add(std::int64_t first, std::int64_t last) const {
    constexpr std::int64_t bytes = sizeof(Stored);
    const std::int64_t positions_per_step =
        part_.axis == 2 ? 1 : shape_.output[2] * (part_.axis == 1 ? 1 : shape_.output[1]);
    std::int64_t tap = first % shape_.taps, row = first / shape_.taps;
    Extent position = unflatten(row, shape_.output);
    while (first < last) {
        if (const std::int64_t next = next_reaching(position[part_.axis]); next != position[part_.axis]) {
            row = (row / positions_per_step + next - position[part_.axis]) * positions_per_step;
            position = unflatten(row, shape_.output);
            first = row * shape_.taps, tap = 0;
            continue;
        }
        const RowTaps row_taps(shape_, strides_[4], position, {low_[2], low_[2] + size_[2]});
        const std::byte* from = regions_ + (row * shape_.depth + tap) * bytes;
        const std::int64_t count = std::min(last - first, shape_.taps - tap);
        each_kernel_row(shape_, position, {tap, tap + count}, [&](std::int64_t d, std::int64_t h, Range taps) {
            // zero_element is below every coordinate of the part.
            if (d >= low_[0] && d < low_[0] + size_[0] && h >= low_[1] && h < low_[1] + size_[1]) {
                std::byte* line = part_.channel + (d * strides_[2] + h * strides_[3]);
                add_kernel_row<Stored>(row_taps, taps, line, from);
            }
            from += (taps.last - taps.first) * bytes;
        });
        first += count, tap = 0;
        ++row;
        advance(position, shape_.output);
    }
}

template class RegionSums<float>;
template class RegionSums<double>;
template class RegionSums<Float16>;
template class RegionSums<BFloat16>;
template class RegionSums<std::complex<float>>;
template class RegionSums<std::complex<double>>;

}  // namespace flatconv
