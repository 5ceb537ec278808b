// Recognises weights that need no packing, and packs the others.
#include "gemm/weights.hpp"

#include <cstring>

#include "gemm/transposed_halves.hpp"

namespace flatconv {

namespace {

/// body(element) for each of the depths [first, first + count) of a row.
template <typename Body>
void for_each_depth(const WeightSizes& sizes, const ByteStrides& strides, const std::byte* row, std::int64_t first,
                    std::int64_t count, const Body& body) {
    const auto [kernel_d, kernel_h, kernel_w] = sizes.kernel;
    std::int64_t kw = first % kernel_w, kh = first / kernel_w % kernel_h, kd = first / (kernel_w * kernel_h) % kernel_d;
    std::int64_t c = first / (kernel_w * kernel_h * kernel_d);
    while (count > 0) {
        const std::byte* line = row + c * strides[1] + kd * strides[2] + kh * strides[3];
        for (; kw < kernel_w && count > 0; ++kw, --count) body(line + kw * strides[4]);
        kw = 0;
        if (++kh < kernel_h) continue;
        kh = 0;
        if (++kd < kernel_d) continue;
        kd = 0;
        ++c;
    }
}

/// Some rows of halves, strides[0] apart.
struct HalfRows {
    const std::byte* first;
    std::int64_t count;
};

/// Reads the depths [first, first + count) of some rows, run by run of what lies at one distance.
template <typename T>
void widen_rows(const HalfKernels<T>& half, const WeightSizes& sizes, const ByteStrides& strides, const HalfRows& rows,
                std::int64_t first, std::int64_t count, T* to, std::int64_t to_stride) {
    const std::int64_t taps = sizes.kernel[0] * sizes.kernel[1] * sizes.kernel[2];
    const auto widen = [&](const std::byte* from, std::int64_t step, std::int64_t length, T* place) {
        half.widen({from, strides[0], step, rows.count, length, place, to_stride});
    };
    if (taps == 1) return widen(rows.first + first * strides[1], strides[1], count, to);
    if (is_dense(sizes.kernel, strides, strides[4])) {
        if (strides[1] == taps * strides[4]) return widen(rows.first + first * strides[4], strides[4], count, to);
        for (std::int64_t done = 0; done < count;) {
            const std::int64_t channel = (first + done) / taps, tap = (first + done) % taps;
            const std::int64_t length = std::min(taps - tap, count - done);
            widen(rows.first + channel * strides[1] + tap * strides[4], strides[4], length, to + done);
            done += length;
        }
        return;
    }
    for_each_depth(sizes, strides, rows.first, first, count,
                   [&](const std::byte* element) { widen(element, 0, 1, to++); });
}

/// The same into a panel.
template <typename T>
void widen_panel(const Kernels<T>& kernels, const HalfKernels<T>& half, const WeightSizes& sizes,
                 const ByteStrides& strides, const HalfRows& rows, std::int64_t first, std::int64_t depth, T* packed,
                 std::int64_t width) {
    if (strides[0] == half_bytes) {
        for_each_depth(sizes, strides, rows.first, first, depth, [&](const std::byte* element) {
            half.widen({element, 0, half_bytes, 1, rows.count, packed, 0});
            packed += width;
        });
        return;
    }
    widen_transposed(
        kernels, rows.count, depth, packed, width,
        [&](std::int64_t r, std::int64_t count, std::int64_t d, std::int64_t length, T* to, std::int64_t to_stride) {
            widen_rows(half, sizes, strides, {rows.first + r * strides[0], count}, first + d, length, to, to_stride);
        });
}

/// Whether the elements of each kernel are consecutive, and everything is aligned to elements.
template <typename T>
bool has_dense_kernels(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    if (reinterpret_cast<std::uintptr_t>(weight.data) % alignof(T) != 0) return false;
    if (sizes.rows() > 1 && weight.byte_strides[0] % bytes != 0) return false;
    if (sizes.in_channels > 1 && weight.byte_strides[1] % bytes != 0) return false;
    return is_dense(sizes.kernel, weight.byte_strides, bytes);
}

/// Matrices that lie apart come from memory one by one: the machine does not foresee where the next one begins. So they
/// are fetched so many bytes before they are read.
constexpr std::int64_t fetched_ahead = 4096;

void fetch(const std::byte* from, std::int64_t bytes) {
    for (std::int64_t b = 0; b < bytes; b += std::int64_t(cache_line)) __builtin_prefetch(from + b);
}

}  // namespace

template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    return has_dense_kernels<T>(sizes, weight) &&
           (sizes.in_channels <= 1 || weight.byte_strides[1] == sizes.taps() * std::int64_t(sizeof(T)));
}

template <typename T>
bool lies_in_complex_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    const ByteStrides& strides = weight.byte_strides;
    return reinterpret_cast<std::uintptr_t>(weight.data) % alignof(T) == 0 &&
           (sizes.rows() <= 1 || strides[0] % bytes == 0) && is_dense(sizes.kernel, strides, 2 * bytes) &&
           (sizes.in_channels <= 1 || strides[1] == 2 * bytes * sizes.taps());
}

template <typename T>
void pack_row(const HalfKernels<T>* half, const WeightSizes& sizes, const ConstArray& weight, std::int64_t row,
              T* packed) noexcept {
    const std::byte* from = static_cast<const std::byte*>(weight.data) +
                            sizes.row_at(weight.byte_strides, row / sizes.out_channels, row % sizes.out_channels);
    if (half) return widen_rows(*half, sizes, weight.byte_strides, {from, 1}, 0, sizes.depth(), packed, 0);
    for_each_depth(sizes, weight.byte_strides, from, 0, sizes.depth(),
                   [&](const std::byte* element) { std::memcpy(packed++, element, sizeof(T)); });
}

int pack_pairs(const KernelSet& set, const WeightSizes& sizes, const ConstArray& weight, std::int64_t row,
               float* packed) noexcept {
    const ByteStrides& strides = weight.byte_strides;
    const std::byte* from = static_cast<const std::byte*>(weight.data) +
                            sizes.row_at(strides, row / sizes.out_channels, row % sizes.out_channels);
    const PairKernels& kernels = set.pairs;
    const std::int64_t depth = sizes.depth(), pairs = depth / 2, taps = sizes.taps();
    if (taps == 1 || (is_dense(sizes.kernel, strides, strides[4]) && strides[1] == taps * strides[4])) {
        const auto step = std::ptrdiff_t(taps == 1 ? strides[1] : strides[4]);
        const int least = kernels.join_halves({from, step, true, 0, 2 * step, 1, pairs, packed, 0});
        if (depth % 2 == 0) return least;
        from += (depth - 1) * step;
        return std::min(least, kernels.join_halves({from, 0, false, 0, 0, 1, 1, packed + pairs, 0}));
    }
    int least = no_exponent;
    constexpr std::int64_t at_once = 256;  // even, so that no pair is parted
    float numbers[at_once];
    for (std::int64_t d = 0; d < depth; d += at_once) {
        const std::int64_t count = std::min(at_once, depth - d);
        widen_rows(set.bfloat16, sizes, strides, {from, 1}, d, count, numbers, 0);
        least = std::min(least, kernels.least_exponent(numbers, count));
        kernels.join(numbers, count, packed + d / 2);
    }
    return least;
}

/// The part of a channel whose complex numbers are consecutive: in constant steps, of which compilers make vectors.
template <typename T>
void expand_kernel(const T* __restrict from, std::int64_t taps, bool conjugates, T* __restrict real,
                   T* __restrict real_of_imaginary, T* __restrict imaginary, T* __restrict imaginary_of_imaginary) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
        const T re = from[2 * tap], im = conjugates ? -from[2 * tap + 1] : from[2 * tap + 1];
        real[tap] = imaginary_of_imaginary[tap] = re;
        real_of_imaginary[tap] = -im;
        imaginary[tap] = im;
    }
}

template <typename T>
void expand_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, bool conjugates, T* packed,
                std::ptrdiff_t stride) noexcept {
    const std::byte* from = static_cast<const std::byte*>(weight.data) + row * weight.byte_strides[0];
    const std::int64_t taps = sizes.kernel[0] * sizes.kernel[1] * sizes.kernel[2];
    T *real = packed, *imaginary = packed + stride;  // rows
    constexpr std::int64_t bytes = sizeof(T);
    if (taps > 1 && is_dense(sizes.kernel, weight.byte_strides, 2 * bytes) && weight.byte_strides[1] % bytes == 0 &&
        reinterpret_cast<std::uintptr_t>(from) % alignof(T) == 0) {
        for (std::int64_t c = 0; c < sizes.in_channels; ++c, real += 2 * taps, imaginary += 2 * taps) {
            expand_kernel(reinterpret_cast<const T*>(from + c * weight.byte_strides[1]), taps, conjugates, real,
                          real + taps, imaginary, imaginary + taps);
        }
        return;
    }
    std::int64_t tap = 0;
    for_each_depth(sizes, weight.byte_strides, from, 0, sizes.depth(), [&](const std::byte* element) {
        T w[2];
        std::memcpy(w, element, sizeof w);
        if (conjugates) w[1] = -w[1];
        real[0] = imaginary[taps] = w[0];
        real[taps] = -w[1];
        imaginary[0] = w[1];
        // The taps of a channel's imaginary part follow those of its real one.
        const bool last = ++tap == taps;
        real += last ? taps + 1 : 1;
        imaginary += last ? taps + 1 : 1;
        if (last) tap = 0;
    });
}

namespace {

/// The real numbers of complex weights, `rows` of them from `first_row` on, which lie in rows: between the parts of an
/// input and an output channel stand (re, −im) and (im, re), so that of one input part, neighbouring output channels
/// have a weight's parts side by side.
template <typename T>
void pack_complex_panel(const Kernels<T>& kernels, const WeightSizes& sizes, const ConstArray& weight,
                        std::int64_t first_row, std::int64_t rows, std::int64_t first_depth, std::int64_t depth,
                        T* packed, std::int64_t width) {
    constexpr std::int64_t most_taps = 32, most_channels = max_panel_vectors * 16 / 2;
    const std::int64_t taps = sizes.taps(), channels = rows / 2, pairs = width / 2, end = first_depth + depth;
    const auto stride = std::ptrdiff_t(weight.byte_strides[0] / std::int64_t(sizeof(T)));
    const T* const from = static_cast<const T*>(weight.data) + first_row / 2 * stride;
    T parts[2 * most_taps * most_channels] = {};  // of each tap, the real ones of all channels, then the imaginary ones
    for (std::int64_t c = first_depth / (2 * taps); 2 * c * taps < end; ++c) {
        for (std::int64_t first = 0; first < taps; first += most_taps) {
            const std::int64_t count = std::min(most_taps, taps - first);
            kernels.transpose(
                {from + 2 * (c * taps + first), stride, channels, 2 * count, parts, std::ptrdiff_t(pairs), nullptr});
            for (std::int64_t tap = 0; tap < 2 * count; ++tap) {
                const bool of_imaginary = tap >= count;
                const std::int64_t at = tap - (of_imaginary ? count : 0);
                const std::int64_t d = (2 * c + of_imaginary) * taps + first + at - first_depth;
                if (d < 0 || d >= depth) continue;
                T* const real = parts + 2 * at * pairs;
                T* const imaginary = real + pairs;
                const T* const in_turn[] = {of_imaginary ? imaginary : real, of_imaginary ? real : imaginary};
                // That of real inputs comes first.
                if (of_imaginary) {
                    for (std::int64_t r = 0; r < pairs; ++r) imaginary[r] = -imaginary[r];
                }
                T* __restrict const to = packed + d * width;
                for (std::int64_t r = 0; r < pairs; ++r) {
                    to[2 * r] = in_turn[0][r];
                    to[2 * r + 1] = in_turn[1][r];
                }
            }
        }
    }
}

}  // namespace

template <typename T>
void pack_panel(const Kernels<T>& kernels, const HalfKernels<T>* half, const WeightSizes& sizes,
                const ConstArray& weight, std::int64_t group, std::int64_t panel, std::int64_t first_depth,
                std::int64_t depth, T* packed) noexcept {
    const PanelLayout layout(sizes, kernels);
    const std::int64_t width = layout.width_of(panel);
    const std::int64_t rows = std::min(width, sizes.out_channels - panel * layout.width);
    if (is_complex(weight.stored)) {
        const std::int64_t first_row = group * sizes.out_channels + panel * layout.width;
        return pack_complex_panel(kernels, sizes, weight, first_row, rows, first_depth, depth, packed, width);
    }
    const ByteStrides& strides = weight.byte_strides;
    const std::byte* from =
        static_cast<const std::byte*>(weight.data) + sizes.row_at(strides, group, panel * layout.width);
    constexpr std::int64_t bytes = sizeof(T);
    if (rows < width) std::fill_n(packed, width * depth, T(0));
    if (sizes.merged_rows > 0) {
        for (std::int64_t r = 0; r < rows; ++r) {
            T* to = packed + r;
            const std::byte* row =
                static_cast<const std::byte*>(weight.data) + sizes.row_at(strides, group, panel * layout.width + r);
            for_each_depth(sizes, strides, row, first_depth, depth, [&](const std::byte* element) {
                if (half) {
                    half->widen({element, 0, 0, 1, 1, to, 0});
                } else {
                    std::memcpy(to, element, sizeof(T));
                }
                to += width;
            });
        }
    } else if (half) {
        widen_panel(kernels, *half, sizes, strides, {from, rows}, first_depth, depth, packed, width);
    } else if (strides[0] == bytes && sizes.depth() > 1) {
        for_each_depth(sizes, strides, from, first_depth, depth, [&](const std::byte* element) {
            std::memcpy(packed, element, std::size_t(rows) * sizeof(T));
            packed += width;
        });
    } else if (has_dense_kernels<T>(sizes, weight)) {
        // Matrices of output channels × kernel elements, one for each input channel; or one for all of them.
        const std::int64_t taps = sizes.taps();
        const std::int64_t run = lies_in_rows<T>(sizes, weight) ? sizes.depth() : taps;
        for (std::int64_t d = first_depth, end = first_depth + depth; d < end;) {
            const std::int64_t count = std::min(run - d % run, end - d);
            const std::byte* const at = from + d / run * strides[1] + d % run * bytes;
            const std::int64_t ahead = ceil_div(fetched_ahead, rows * taps * bytes);
            if (run == taps && d + ahead * taps < end) fetch(at + ahead * strides[1], rows * taps * bytes);
            kernels.transpose({reinterpret_cast<const T*>(at), std::ptrdiff_t(strides[0] / bytes), rows, count, packed,
                               std::ptrdiff_t(width), nullptr});
            packed += count * width;
            d += count;
        }
    } else {
        for (std::int64_t r = 0; r < rows; ++r) {
            T* to = packed + r;
            for_each_depth(sizes, strides, from + r * strides[0], first_depth, depth, [&](const std::byte* element) {
                std::memcpy(to, element, sizeof(T));
                to += width;
            });
        }
    }
}

template bool lies_in_rows<float>(const WeightSizes&, const ConstArray&) noexcept;
template bool lies_in_rows<double>(const WeightSizes&, const ConstArray&) noexcept;
template bool lies_in_complex_rows<float>(const WeightSizes&, const ConstArray&) noexcept;
template bool lies_in_complex_rows<double>(const WeightSizes&, const ConstArray&) noexcept;
template void pack_row<float>(const HalfKernels<float>*, const WeightSizes&, const ConstArray&, std::int64_t,
                              float*) noexcept;
template void pack_row<double>(const HalfKernels<double>*, const WeightSizes&, const ConstArray&, std::int64_t,
                               double*) noexcept;
template void expand_row<float>(const WeightSizes&, const ConstArray&, std::int64_t, bool, float*,
                                std::ptrdiff_t) noexcept;
template void expand_row<double>(const WeightSizes&, const ConstArray&, std::int64_t, bool, double*,
                                 std::ptrdiff_t) noexcept;
template void pack_panel<float>(const Kernels<float>&, const HalfKernels<float>*, const WeightSizes&, const ConstArray&,
                                std::int64_t, std::int64_t, std::int64_t, std::int64_t, float*) noexcept;
template void pack_panel<double>(const Kernels<double>&, const HalfKernels<double>*, const WeightSizes&,
                                 const ConstArray&, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                                 double*) noexcept;

}  // namespace flatconv
