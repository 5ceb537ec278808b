// The padding model: how much, and what it holds. Every operation that pads asks here.
#ifndef FLATCONV_PROBLEM_PADDING_HPP
#define FLATCONV_PROBLEM_PADDING_HPP

#include <flatconv/flatconv.hpp>

namespace flatconv {

/// What source_index answers for an element that is zero.
inline constexpr std::int64_t zero_element = -1;

/// The element of an axis of `size` elements that stands at `index` of the padded axis, counted from the axis's own
/// first element (so that padding before it has negative indices), or `zero_element`. The definition is numpy.pad's,
/// for any amount of padding.
std::int64_t source_index(PaddingMode mode, std::int64_t index, std::int64_t size) noexcept;

struct PadAmounts {
    std::int64_t before;
    std::int64_t after;
};

/// What a rule other than `amounts` comes to along one axis; `extent` is that of the dilated kernel.
PadAmounts resolve_padding(PaddingRule rule, std::int64_t size, std::int64_t extent, std::int64_t stride) noexcept;

}  // namespace flatconv

#endif
