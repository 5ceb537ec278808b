// The padding model, axis by axis.
#include "problem/padding.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace flatconv {

namespace {

std::int64_t floor_mod(std::int64_t a, std::int64_t period) { return (a % period + period) % period; }

}  // namespace

std::int64_t source_index(PaddingMode mode, std::int64_t index, std::int64_t size) noexcept {
    if (index >= 0 && index < size) return index;
    if (size == 0) return zero_element;
    switch (mode) {
        case PaddingMode::zeros: return zero_element;
        case PaddingMode::replicate: return std::clamp<std::int64_t>(index, 0, size - 1);
        case PaddingMode::circular: return floor_mod(index, size);
        case PaddingMode::reflect: {
            if (size == 1) return 0;
            const std::int64_t folded = floor_mod(index, 2 * size - 2);
            return std::min(folded, 2 * size - 2 - folded);
        }
        case PaddingMode::symmetric: {
            const std::int64_t folded = floor_mod(index, 2 * size);
            return std::min(folded, 2 * size - 1 - folded);
        }
    }
    return zero_element;
}

PadAmounts resolve_padding(PaddingRule rule, std::int64_t size, std::int64_t extent, std::int64_t stride) noexcept {
    if (rule == PaddingRule::full) return {extent - 1, extent - 1};
    if (rule != PaddingRule::same && rule != PaddingRule::same_lower) return {0, 0};
    // The last of ceil(size / stride) positions starts at `last`; padding fills what its kernel lacks.
    const std::int64_t last = (ceil_div(size, stride) - 1) * stride;
    const std::int64_t total = std::max<std::int64_t>(0, last - size + extent);
    const std::int64_t smaller = total / 2;
    return rule == PaddingRule::same ? PadAmounts{smaller, total - smaller} : PadAmounts{total - smaller, smaller};
}

}  // namespace flatconv
