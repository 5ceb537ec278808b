// The public entries to the region matrix: im2col and col2im, in pieces short enough to be shared out and stopped.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <string>

#include "base/checked.hpp"
#include "conv/runtime.hpp"
#include "conv/status.hpp"
#include "im2col/region_matrix.hpp"

namespace flatconv {
inline namespace v0 {

namespace {

/// Elements that take a millisecond at most, wherever they come from.
constexpr std::int64_t piece = std::int64_t{1} << 16;

Status check_element_bytes(std::size_t bytes) {
    if (bytes >= 1 && bytes <= 16 && (bytes & (bytes - 1)) == 0) return {};
    return {StatusCode::invalid_argument, "element_bytes must be 1, 2, 4, 8 or 16, got " + std::to_string(bytes)};
}

/// Either array may be null when it has no elements.
Status check_pointers(const ConvShape& shape, const void* x, const void* regions) {
    const auto null = [](const char* name) {
        return Status{StatusCode::invalid_argument, std::string(name) + " is null"};
    };
    const bool any_channel = shape.batch > 0 && shape.in_channels > 0;
    const bool any_pixel = shape.input[0] > 0 && shape.input[1] > 0 && shape.input[2] > 0;
    if (any_channel && any_pixel && x == nullptr) return null("x");
    if (any_channel && regions == nullptr) return null("regions");
    return {};
}

double matrix_elements(const ConvShape& shape) {
    return double(shape.batch) * double(shape.pixels) * double(shape.depth);
}

/// How col2im shares out its work: tasks are the channels of all images, each cut into parts if there are not enough.
struct Parts {
    std::size_t axis;
    std::int64_t count;

    Parts(const ConvShape& shape, int wanted) : axis(0), count(ceil_div(wanted, shape.batch * shape.in_channels)) {
        // The outermost axis that is long enough: its parts have the fewest positions in common.
        while (axis < 2 && shape.input[axis] < count) ++axis;
        count = std::min(count, shape.input[axis]);
    }

    ImagePart operator()(const ConvShape& shape, std::int64_t index, std::byte* channel) const {
        const std::int64_t size = shape.input[axis], each = size / count, longer = size % count;
        const auto begin = [&](std::int64_t part) { return part * each + std::min(part, longer); };
        return {channel, axis, begin(index), begin(index + 1)};
    }
};

/// body(first, last) for the pieces of [0, total), until the call is stopped.
template <typename Body>
void in_pieces(std::int64_t total, parallel::Cancellation& cancellation, const Body& body) {
    for (std::int64_t first = 0; first < total && !cancellation.poll(); first += piece) {
        body(first, std::min(total, first + piece));
    }
}

template <typename T>
Status sum_images(const ConvShape& shape, const std::byte* regions, std::byte* x, const ByteStrides& strides,
                  const Options& options) {
    const double pixels = double(shape.input[0]) * double(shape.input[1]) * double(shape.input[2]);
    const double work = matrix_elements(shape) + double(shape.batch) * double(shape.in_channels) * pixels;
    const int participants = participants_for(options, threads_for(options, work));
    const Parts parts(shape, participants);
    return with_runtime(options, [&](const Runtime& runtime) {
        const auto sum_part = [&](int, std::int64_t task) {
            const std::int64_t index = task / parts.count;
            const std::int64_t image = index / shape.in_channels, channel = index % shape.in_channels;
            const std::int64_t column = image * shape.pixels * shape.depth + channel * shape.taps;
            const RegionSums<T> sums(shape, regions + column * std::int64_t(sizeof(T)), strides,
                                     parts(shape, task % parts.count, x + (image * strides[0] + channel * strides[1])));
            const auto clear = [&](std::int64_t first, std::int64_t last) { sums.clear(first, last); };
            const auto add = [&](std::int64_t first, std::int64_t last) { sums.add(first, last); };
            in_pieces(sums.pixels(), runtime.cancellation, clear);
            in_pieces(sums.elements(), runtime.cancellation, add);
        };
        parallel::for_each_task(runtime.executor, participants, shape.batch * shape.in_channels * parts.count, sum_part,
                                &runtime.cancellation);
    });
}

}  // namespace

Status region_matrix_size(const ConvProblem& problem, std::size_t element_bytes, std::int64_t& rows,
                          std::int64_t& columns) noexcept {
    return guarded([&]() -> Status {
        ConvShape shape;
        if (Status status = check_element_bytes(element_bytes); !status) return status;
        Status status = make_region_shape(problem, std::int64_t(element_bytes), shape);
        if (status) rows = shape.pixels, columns = shape.depth;
        return status;
    });
}

Status im2col(const ConvProblem& problem, const ConstArray& x, void* regions, std::size_t element_bytes,
              const Options& options) noexcept {
    return guarded([&]() -> Status {
        if (Status status = check_element_bytes(element_bytes); !status) return status;
        ConvShape shape;
        if (Status status = make_region_shape(problem, std::int64_t(element_bytes), shape); !status) return status;
        if (Status status = check_threads(options); !status) return status;
        if (Status status = check_pointers(shape, x.data, regions); !status) return status;
        if (shape.batch == 0 || shape.depth == 0) return {};
        const ByteStrides strides =
            x.dense ? dense_strides(shape.in_channels, shape.input, std::int64_t(element_bytes)) : x.byte_strides;
        const std::int64_t total = shape.batch * shape.pixels * shape.depth;
        const int participants = participants_for(options, threads_for(options, matrix_elements(shape)));
        const auto write_piece = [&](int, std::int64_t task) {
            const std::int64_t first = task * piece, last = first + std::min(piece, total - first);
            write_regions(shape, static_cast<const std::byte*>(x.data), strides, element_bytes, first, last,
                          static_cast<std::byte*>(regions));
        };
        return with_runtime(options, [&](const Runtime& runtime) {
            parallel::for_each_task(runtime.executor, participants, ceil_div(total, piece), write_piece,
                                    &runtime.cancellation);
        });
    });
}

Status col2im(const ConvProblem& problem, const void* regions, const Array& x, const Options& options) noexcept {
    return guarded([&]() -> Status {
        ConvShape shape;
        const std::int64_t bytes = element_bytes(problem.dtype);
        if (Status status = make_region_shape(problem, bytes, shape); !status) return status;
        if (Status status = check_threads(options); !status) return status;
        if (Status status = check_pointers(shape, x.data, regions); !status) return status;
        if (shape.batch == 0 || shape.in_channels == 0) return {};
        if (shape.input[0] == 0 || shape.input[1] == 0 || shape.input[2] == 0) return {};
        const ByteStrides strides = x.dense ? dense_strides(shape.in_channels, shape.input, bytes) : x.byte_strides;
        const auto* from = static_cast<const std::byte*>(regions);
        auto* to = static_cast<std::byte*>(x.data);
        return problem.dtype == DType::float32 ? sum_images<float>(shape, from, to, strides, options)
                                               : sum_images<double>(shape, from, to, strides, options);
    });
}

}  // namespace v0
}  // namespace flatconv
