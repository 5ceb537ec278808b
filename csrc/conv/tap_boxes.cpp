// Cuts each axis of the output where a tap enters or leaves the image.
#include "conv/tap_boxes.hpp"

#include <limits>

#include "base/checked.hpp"

namespace flatconv {

namespace {

/// Of an axis: of a longer kernel, what could be left out is not worth the time to find it.
constexpr std::int64_t most_taps = 256;

/// ceil(a / b) for any sign of a.
std::int64_t ceil_of(std::int64_t a, std::int64_t b) { return a >= 0 ? ceil_div(a, b) : -(-a / b); }

TapRun joined(const TapRun& a, const TapRun& b) {
    if (a.taps() == 0) return {a.first, b.end, b.first_tap, b.end_tap};
    if (b.taps() == 0) return {a.first, b.end, a.first_tap, a.end_tap};
    return {a.first, b.end, std::min(a.first_tap, b.first_tap), std::max(a.end_tap, b.end_tap)};
}

double products(const TapRun& run) { return double(run.end - run.first) * double(run.taps()); }

}  // namespace

TapBoxes::TapBoxes(const ConvShape& shape, std::size_t axes) noexcept
    : output_(shape.output), kernel_(shape.kernel), whole_row_(whole(shape, 2)) {
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        axes_[axis] = axis < axes ? cut(shape, axis) : whole(shape, axis);
    }
    while (count() > most) {
        join_cheapest(*std::max_element(axes_.begin(), axes_.end(),
                                        [](const Axis& a, const Axis& b) { return a.count < b.count; }));
    }
    share_ = find_share();
}

double TapBoxes::find_share() const noexcept {
    double counted = 0, all = 1;
    for_each_in({{0, 0, 0}, output_},
                [&](const TapBox& part) { counted += double(part.box.pixels()) * double(part.count()); });
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) all *= double(output_[axis]) * double(kernel_[axis]);
    return counted / all;
}

TapBoxes::Axis TapBoxes::whole(const ConvShape& shape, std::size_t axis) noexcept {
    Axis result;
    result.runs[0] = {0, shape.output[axis], 0, shape.kernel[axis]};
    result.count = 1;
    return result;
}

TapBoxes::Axis TapBoxes::cut(const ConvShape& shape, std::size_t axis) noexcept {
    const std::int64_t taps = shape.kernel[axis], stride = shape.stride[axis], dilation = shape.dilation[axis];
    const std::int64_t outputs = shape.output[axis], before = shape.pad_before[axis];
    const std::int64_t last_read = (outputs - 1) * stride + (taps - 1) * dilation - before;
    const bool in_image = before <= 0 && last_read < shape.input[axis];
    if (shape.padding_mode != PaddingMode::zeros || in_image || taps > most_taps) return whole(shape, axis);
    Axis result;
    const auto add = [&](const TapRun& run) {
        result.runs[std::size_t(result.count++)] = run;
        if (result.count > most_runs) join_cheapest(result);
    };
    // Position o reads the pixels o · stride + k · dilation − before.
    for (std::int64_t o = 0; o < outputs;) {
        const std::int64_t at = before - o * stride;
        const std::int64_t first = std::clamp<std::int64_t>(ceil_of(at, dilation), 0, taps);
        const std::int64_t end = std::clamp<std::int64_t>(ceil_of(at + shape.input[axis], dilation), first, taps);
        // Where the tap before the first one enters the image, and where the last one has left it.
        std::int64_t next = outputs;
        if (first > 0) next = std::min(next, ceil_of(before - (first - 1) * dilation, stride));
        if (end > first) next = std::min(next, ceil_of(before + shape.input[axis] - (end - 1) * dilation, stride));
        next = std::max(next, o + 1);
        add(shape.mirrored ? TapRun{o, next, taps - end, taps - first} : TapRun{o, next, first, end});
        o = next;
    }
    return result;
}

void TapBoxes::join_cheapest(Axis& axis) noexcept {
    std::size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i + 1 < std::size_t(axis.count); ++i) {
        const TapRun &a = axis.runs[i], &b = axis.runs[i + 1];
        const double added = products(joined(a, b)) - products(a) - products(b);
        if (added < least) {
            least = added;
            best = i;
        }
    }
    axis.runs[best] = joined(axis.runs[best], axis.runs[best + 1]);
    std::move(axis.runs.begin() + std::ptrdiff_t(best) + 2, axis.runs.begin() + std::ptrdiff_t(axis.count),
              axis.runs.begin() + std::ptrdiff_t(best) + 1);
    --axis.count;
}

}  // namespace flatconv
