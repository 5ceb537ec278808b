// Recognises weights that need no packing, and packs the others.
#include "gemm/weights.hpp"

#include <cstring>

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

}  // namespace

template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    if (reinterpret_cast<std::uintptr_t>(weight.data) % alignof(T) != 0) return false;
    if (sizes.rows() > 1 && weight.byte_strides[0] % bytes != 0) return false;
    const std::int64_t taps = sizes.kernel[0] * sizes.kernel[1] * sizes.kernel[2];
    return is_dense(sizes.kernel, weight.byte_strides, bytes) &&
           (sizes.in_channels <= 1 || weight.byte_strides[1] == taps * bytes);
}

template <typename T>
void pack_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, T* packed) noexcept {
    const std::byte* from = static_cast<const std::byte*>(weight.data) + row * weight.byte_strides[0];
    for_each_depth(sizes, weight.byte_strides, from, 0, sizes.depth(),
                   [&](const std::byte* element) { std::memcpy(packed++, element, sizeof(T)); });
}

template <typename T>
void expand_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, bool conjugates, T* packed,
                std::ptrdiff_t stride) noexcept {
    const std::byte* from = static_cast<const std::byte*>(weight.data) + row * weight.byte_strides[0];
    const std::int64_t taps = sizes.kernel[0] * sizes.kernel[1] * sizes.kernel[2];
    T *real = packed, *imaginary = packed + stride;  // rows
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

template <typename T>
void pack_panel(const Kernels<T>& kernels, const WeightSizes& sizes, const ConstArray& weight, std::int64_t group,
                std::int64_t panel, std::int64_t first_depth, std::int64_t depth, T* packed) noexcept {
    const PanelLayout layout(sizes, kernels);
    const std::int64_t width = layout.width_of(panel);
    const std::int64_t rows = std::min(width, sizes.out_channels - panel * layout.width);
    const ByteStrides& strides = weight.byte_strides;
    const std::byte* from =
        static_cast<const std::byte*>(weight.data) + (group * sizes.out_channels + panel * layout.width) * strides[0];
    if (rows < width) std::fill_n(packed, width * depth, T(0));
    if (lies_in_rows<T>(sizes, weight)) {
        kernels.transpose({reinterpret_cast<const T*>(from) + first_depth,
                           std::ptrdiff_t(strides[0] / std::int64_t(sizeof(T))), rows, depth, packed,
                           std::ptrdiff_t(width), nullptr});
    } else if (strides[0] == std::int64_t(sizeof(T))) {
        for_each_depth(sizes, strides, from, first_depth, depth, [&](const std::byte* element) {
            std::memcpy(packed, element, std::size_t(rows) * sizeof(T));
            packed += width;
        });
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
template void pack_row<float>(const WeightSizes&, const ConstArray&, std::int64_t, float*) noexcept;
template void pack_row<double>(const WeightSizes&, const ConstArray&, std::int64_t, double*) noexcept;
template void expand_row<float>(const WeightSizes&, const ConstArray&, std::int64_t, bool, float*,
                                std::ptrdiff_t) noexcept;
template void expand_row<double>(const WeightSizes&, const ConstArray&, std::int64_t, bool, double*,
                                 std::ptrdiff_t) noexcept;
template void pack_panel<float>(const Kernels<float>&, const WeightSizes&, const ConstArray&, std::int64_t,
                                std::int64_t, std::int64_t, std::int64_t, float*) noexcept;
template void pack_panel<double>(const Kernels<double>&, const WeightSizes&, const ConstArray&, std::int64_t,
                                 std::int64_t, std::int64_t, std::int64_t, double*) noexcept;

}  // namespace flatconv
