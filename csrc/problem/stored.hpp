// Elements of arrays as numbers, one by one, whatever the arrays hold; for the definitions of results, and for what
// need not be fast.
#ifndef FLATCONV_PROBLEM_STORED_HPP
#define FLATCONV_PROBLEM_STORED_HPP

#include <flatconv/flatconv.hpp>

#include <cstring>
#include <type_traits>

#include "kernels/half.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

template <typename Stored>
inline constexpr bool stored_as_half = std::is_same_v<Stored, Float16> || std::is_same_v<Stored, BFloat16>;

/// What is computed with where arrays hold `Stored`.
template <typename Stored>
using Number = std::conditional_t<stored_as_half<Stored>, float, Stored>;

template <typename Stored>
Number<Stored> load(const void* data, std::int64_t offset) {
    Stored value;
    std::memcpy(&value, static_cast<const std::byte*>(data) + offset, sizeof value);
    if constexpr (stored_as_half<Stored>) {
        return widened(value);
    } else {
        return value;
    }
}

/// Rounds to what is stored.
template <typename Stored>
void store(void* data, std::int64_t offset, Number<Stored> number) {
    Stored value;
    if constexpr (stored_as_half<Stored>) {
        value = narrowed<Stored>(number);
    } else {
        value = number;
    }
    std::memcpy(static_cast<std::byte*>(data) + offset, &value, sizeof value);
}

/// The same of an array that holds such halves; if `stored` is no type of halves, T.
template <typename T>
T load_stored(DType stored, const void* data, std::int64_t offset) {
    if constexpr (std::is_same_v<T, float>) {
        if (stored == DType::float16) return load<Float16>(data, offset);
        if (stored == DType::bfloat16) return load<BFloat16>(data, offset);
    }
    return load<T>(data, offset);
}

template <typename T>
void store_as(DType stored, void* data, std::int64_t offset, T number) {
    if constexpr (std::is_same_v<T, float>) {
        if (stored == DType::float16) return store<Float16>(data, offset, number);
        if (stored == DType::bfloat16) return store<BFloat16>(data, offset, number);
    }
    store<T>(data, offset, number);
}

/// visit(value of the type that is computed with).
template <typename Visit>
void with_number(DType dtype, const Visit& visit) {
    computes_in_float(dtype) ? visit(float{}) : visit(double{});
}

/// visit(value of the type that such arrays hold, or of the real numbers that their complex ones consist of).
template <typename Visit>
void with_stored(DType dtype, const Visit& visit) {
    switch (dtype) {
        case DType::float32:
        case DType::complex64: return visit(float{});
        case DType::float64:
        case DType::complex128: return visit(double{});
        case DType::float16: return visit(Float16{});
        case DType::bfloat16: return visit(BFloat16{});
    }
}

}  // namespace flatconv

#endif
