// Recognises weights that need no packing, and packs the others.
#include "gemm/weights.hpp"

#include <cstring>

namespace flatconv {

template <typename T>
bool lies_in_rows(const WeightSizes& sizes, const ConstArray& weight) noexcept {
    constexpr std::int64_t bytes = sizeof(T);
    if (reinterpret_cast<std::uintptr_t>(weight.data) % alignof(T) != 0) return false;
    if (sizes.out_channels > 1 && weight.byte_strides[0] % bytes != 0) return false;
    const std::int64_t taps = sizes.kernel[0] * sizes.kernel[1] * sizes.kernel[2];
    return is_dense(sizes.kernel, weight.byte_strides, bytes) &&
           (sizes.in_channels <= 1 || weight.byte_strides[1] == taps * bytes);
}

template <typename T>
void pack_row(const WeightSizes& sizes, const ConstArray& weight, std::int64_t row, T* packed) noexcept {
    const ByteStrides& strides = weight.byte_strides;
    const std::byte* from = static_cast<const std::byte*>(weight.data) + row * strides[0];
    for (std::int64_t c = 0; c < sizes.in_channels; ++c) {
        for (std::int64_t kd = 0; kd < sizes.kernel[0]; ++kd) {
            for (std::int64_t kh = 0; kh < sizes.kernel[1]; ++kh) {
                const std::byte* line = from + c * strides[1] + kd * strides[2] + kh * strides[3];
                for (std::int64_t kw = 0; kw < sizes.kernel[2]; ++kw) {
                    std::memcpy(packed++, line + kw * strides[4], sizeof(T));
                }
            }
        }
    }
}

template bool lies_in_rows<float>(const WeightSizes&, const ConstArray&) noexcept;
template bool lies_in_rows<double>(const WeightSizes&, const ConstArray&) noexcept;
template void pack_row<float>(const WeightSizes&, const ConstArray&, std::int64_t, float*) noexcept;
template void pack_row<double>(const WeightSizes&, const ConstArray&, std::int64_t, double*) noexcept;

}  // namespace flatconv
