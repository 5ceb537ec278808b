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

/// Whether the elements of each kernel are consecutive, and everything is aligned to elements.
template <typename T>
bool has_dense_kernels(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    if (reinterpret_cast<std::uintptr_t>(weight.data) % alignof(T) != 0) return false;
    if (sizes.rows() > 1 && weight.byte_strides[0] % bytes != 0) return false;
    if (sizes.in_channels > 1 && weight.byte_strides[1] % bytes != 0) return false;
    return is_dense(sizes.kernel, weight.byte_strides, bytes);
}

}  // namespace

template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    return has_dense_kernels<T>(sizes, weight) &&
           (sizes.in_channels <= 1 || weight.byte_strides[1] == sizes.taps() * std::int64_t(sizeof(T)));
}

template <typename T>
void pack_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, T* packed) noexcept {
    const std::byte* from = static_cast<const std::byte*>(weight.data) +
                            sizes.row_at(weight.byte_strides, row / sizes.out_channels, row % sizes.out_channels);
    for_each_depth(sizes, weight.byte_strides, from, 0, sizes.depth(),
                   [&](const std::byte* element) { std::memcpy(packed++, element, sizeof(T)); });
}

template <typename T>
void pack_panel(const Kernels<T>& kernels, const WeightSizes& sizes, const ConstArray& weight, std::int64_t group,
                std::int64_t panel, std::int64_t first_depth, std::int64_t depth, T* packed) noexcept {
    const PanelLayout layout(sizes, kernels);
    const std::int64_t width = layout.width_of(panel);
    const std::int64_t rows = std::min(width, sizes.out_channels - panel * layout.width);
    const ByteStrides& strides = weight.byte_strides;
    const std::byte* from =
        static_cast<const std::byte*>(weight.data) + sizes.row_at(strides, group, panel * layout.width);
    constexpr std::int64_t bytes = sizeof(T);
    if (rows < width) std::fill_n(packed, width * depth, T(0));
    if (strides[0] == bytes && sizes.depth() > 1) {
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
template void pack_row<float>(const WeightSizes&, const ConstArray&, std::int64_t, float*) noexcept;
template void pack_row<double>(const WeightSizes&, const ConstArray&, std::int64_t, double*) noexcept;
template void pack_panel<float>(const Kernels<float>&, const WeightSizes&, const ConstArray&, std::int64_t,
                                std::int64_t, std::int64_t, std::int64_t, float*) noexcept;
template void pack_panel<double>(const Kernels<double>&, const WeightSizes&, const ConstArray&, std::int64_t,
                                 std::int64_t, std::int64_t, std::int64_t, double*) noexcept;

}  // namespace flatconv
