// The public entries to the region matrix: im2col, unfold and their adjoints, in pieces short enough to be shared out
// and stopped.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <complex>
#include <limits>
#include <string>

#include "base/aligned_buffer.hpp"
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

    /// At least `wanted` parts in all, of at most so many pixels if one axis has enough coordinates for that.
    Parts(const ConvShape& shape, int wanted, std::int64_t most_pixels)
        : axis(0), count(ceil_div(wanted, shape.batch * shape.in_channels)) {
        const std::int64_t pixels = shape.input[0] * shape.input[1] * shape.input[2];
        count = std::max(count, ceil_div(pixels, most_pixels));
        // The outermost axis that is long enough: its parts have the fewest positions in common.
        while (axis < 2 && shape.input[axis] < count) ++axis;
        count = std::min(count, shape.input[axis]);
    }

    ImagePart operator()(const ConvShape& shape, std::int64_t index, std::byte* channel) const {
        const std::int64_t size = shape.input[axis], each = size / count, longer = size % count;
        const auto begin = [&](std::int64_t part) { return part * each + std::min(part, longer); };
        return {channel, axis, begin(index), begin(index + 1)};
    }

    Extent most_pixels(const ConvShape& shape) const {
        Extent size = shape.input;
        size[axis] = ceil_div(size[axis], count);
        return size;
    }
};

/// body(first, last) for the pieces of [0, total), until the call is stopped. Most totals are a piece or less, and
/// reading the clock takes longer than the smallest of them.
template <typename Body>
void in_pieces(std::int64_t total, parallel::Cancellation& cancellation, const Body& body) {
    for (std::int64_t first = 0; first < total; first += piece) {
        if (first > 0 && cancellation.poll()) return;
        body(first, std::min(total, first + piece));
    }
}

/// write_regions or write_transposed_regions.
using Write = void (*)(const ConvShape& shape, const std::byte* x, const ByteStrides& strides,
                       std::size_t element_bytes, std::int64_t first, std::int64_t last, std::byte* regions);

Status write_matrix(Write write, const ConvProblem& problem, const ConstArray& x, void* regions,
                    std::size_t element_bytes, const Options& options) {
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
        write(shape, static_cast<const std::byte*>(x.data), strides, element_bytes, first, last,
              static_cast<std::byte*>(regions));
    };
    return with_runtime(options, [&](const Runtime& runtime) {
        parallel::for_each_task(runtime.executor, participants, ceil_div(total, piece), write_piece,
                                &runtime.cancellation);
    });
}

/// How a channel's elements lie among those of all channels and images.
struct ChannelMatrix {
    ConvShape shape;
    std::int64_t distance;  // from channel to channel, in elements
};

ChannelMatrix columns_of_channel(const ConvShape& shape) { return {shape, shape.taps}; }

ChannelMatrix rows_of_channel(const ConvShape& shape) { return {transposed_channel(shape), shape.taps * shape.pixels}; }

/// Where a participant keeps the sums of a part, one after the other, until they are rounded to halves.
class SumsOfHalves {
  public:
    /// `size` is that of the largest part, of one channel.
    SumsOfHalves(std::byte* memory, const Extent& size)
        : memory_(memory), strides_(dense_strides(1, size, std::int64_t(sizeof(float)))) {}

    const ByteStrides& strides() const { return strides_; }

    /// The part as if it belonged to a whole channel.
    ImagePart own(const ImagePart& part) const {
        return {memory_ - part.first * strides_[part.axis + 2], part.axis, part.first, part.last};
    }

    /// Rounds the pixels of a part to where they belong in `x`.
    template <typename Stored>
    void write(const ConvShape& shape, const ImagePart& part, const ByteStrides& x) const {
        Extent first{0, 0, 0}, last = shape.input;
        first[part.axis] = part.first, last[part.axis] = part.last;
        const std::byte* const channel = own(part).channel;
        for (std::int64_t d = first[0]; d < last[0]; ++d) {
            for (std::int64_t h = first[1]; h < last[1]; ++h) {
                for (std::int64_t w = first[2]; w < last[2]; ++w) {
                    const float sum = load<float>(channel, d * strides_[2] + h * strides_[3] + w * strides_[4]);
                    store<Stored>(part.channel, d * x[2] + h * x[3] + w * x[4], sum);
                }
            }
        }
    }

  private:
    std::byte* memory_;
    ByteStrides strides_;
};

template <typename Stored>
Status sum_images(const ConvShape& shape, const ChannelMatrix& matrix, const std::byte* regions, std::byte* x,
                  const ByteStrides& strides, const Options& options) {
    const double pixels = double(shape.input[0]) * double(shape.input[1]) * double(shape.input[2]);
    const double work = matrix_elements(shape) + double(shape.batch) * double(shape.in_channels) * pixels;
    const int participants = participants_for(options, threads_for(options, work));
    constexpr bool rounds = stored_as_half<Stored>;
    const Parts parts(shape, participants, rounds ? piece : std::numeric_limits<std::int64_t>::max());
    const Extent most = parts.most_pixels(shape);
    const std::int64_t kept = rounds ? most[0] * most[1] * most[2] * std::int64_t(sizeof(float)) : 0;
    const AlignedBuffer memory =
        rounds ? AlignedBuffer(std::size_t(kept) * std::size_t(participants)) : AlignedBuffer();
    if (rounds && !memory.data()) return {StatusCode::out_of_memory, "out of memory for the sums"};
    const std::int64_t total = shape.batch * shape.in_channels * parts.count;
    // Small ones together, but so that everyone has some.
    const std::int64_t elements = (shape.pixels * shape.taps) / parts.count + 1;
    const std::int64_t together = std::clamp<std::int64_t>(piece / elements, 1, ceil_div(total, participants));
    return with_runtime(options, [&](const Runtime& runtime) {
        const auto sum_part = [&](int participant, std::int64_t part) {
            const std::int64_t index = part / parts.count;
            const std::int64_t image = index / shape.in_channels, channel = index % shape.in_channels;
            const std::int64_t begin = image * shape.pixels * shape.depth + channel * matrix.distance;
            const ImagePart of_x = parts(shape, part % parts.count, x + (image * strides[0] + channel * strides[1]));
            const SumsOfHalves own(memory.data() + participant * kept, most);
            const RegionSums<Stored> sums(matrix.shape, regions + begin * std::int64_t(sizeof(Stored)),
                                          rounds ? own.strides() : strides, rounds ? own.own(of_x) : of_x);
            const auto clear = [&](std::int64_t first, std::int64_t last) { sums.clear(first, last); };
            const auto add = [&](std::int64_t first, std::int64_t last) { sums.add(first, last); };
            in_pieces(sums.pixels(), runtime.cancellation, clear);
            in_pieces(sums.elements(), runtime.cancellation, add);
            if constexpr (rounds) own.template write<Stored>(shape, of_x, strides);
        };
        const auto sum_parts = [&](int participant, std::int64_t task) {
            const std::int64_t end = std::min(total, (task + 1) * together);
            for (std::int64_t part = task * together; part < end; ++part) sum_part(participant, part);
        };
        parallel::for_each_task(runtime.executor, participants, ceil_div(total, together), sum_parts,
                                &runtime.cancellation);
    });
}

/// `matrix_of` is columns_of_channel or rows_of_channel.
Status sum_matrix(ChannelMatrix (*matrix_of)(const ConvShape&), const ConvProblem& problem, const void* regions,
                  const Array& x, const Options& options) {
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
    const auto sum = [&](auto stored) {
        return sum_images<decltype(stored)>(shape, matrix_of(shape), from, to, strides, options);
    };
    if (problem.dtype == DType::complex64) return sum(std::complex<float>());
    if (problem.dtype == DType::complex128) return sum(std::complex<double>());
    Status status;
    with_stored(problem.dtype, [&](auto stored) { status = sum(stored); });
    return status;
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
    return guarded([&] { return write_matrix(write_regions, problem, x, regions, element_bytes, options); });
}

Status unfold(const ConvProblem& problem, const ConstArray& x, void* regions, std::size_t element_bytes,
              const Options& options) noexcept {
    return guarded([&] { return write_matrix(write_transposed_regions, problem, x, regions, element_bytes, options); });
}

Status col2im(const ConvProblem& problem, const void* regions, const Array& x, const Options& options) noexcept {
    return guarded([&] { return sum_matrix(columns_of_channel, problem, regions, x, options); });
}

Status fold(const ConvProblem& problem, const void* regions, const Array& x, const Options& options) noexcept {
    return guarded([&] { return sum_matrix(rows_of_channel, problem, regions, x, options); });
}

}  // namespace v0
}  // namespace flatconv
