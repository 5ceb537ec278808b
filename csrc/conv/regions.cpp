// The public entries to the region matrix: im2col and col2im.
#include <flatconv/flatconv.hpp>

#include <string>

#include "conv/runtime.hpp"
#include "conv/status.hpp"
#include "im2col/region_matrix.hpp"

namespace flatconv {
inline namespace v0 {

Status region_matrix_size(const ConvProblem& problem, std::size_t element_bytes, std::int64_t& rows,
                          std::int64_t& columns) noexcept {
    return guarded([&]() -> Status {
        ConvShape shape;
        Status status = make_region_shape(problem, std::int64_t(element_bytes), shape);
        if (status) rows = shape.pixels, columns = shape.depth;
        return status;
    });
}

Status im2col(const ConvProblem& problem, const ConstArray& x, void* regions, std::size_t element_bytes,
              const Options& options) noexcept {
    return guarded([&]() -> Status {
        if (element_bytes > 16 || element_bytes == 0 || (element_bytes & (element_bytes - 1)) != 0) {
            return {StatusCode::invalid_argument,
                    "element_bytes must be 1, 2, 4, 8 or 16, got " + std::to_string(element_bytes)};
        }
        ConvShape shape;
        if (Status status = make_region_shape(problem, std::int64_t(element_bytes), shape); !status) return status;
        if (shape.batch == 0 || shape.depth == 0) return {};
        const ByteStrides strides =
            x.dense ? dense_strides(shape.in_channels, shape.input, std::int64_t(element_bytes)) : x.byte_strides;
        const RegionTables tables(shape);
        const std::int64_t rows = shape.output[0] * shape.output[1];
        const std::int64_t row_bytes = shape.output[2] * shape.depth * std::int64_t(element_bytes);
        return run_tasks(
            options, double(shape.pixels) * double(shape.depth), shape.batch * rows, [&](int, std::int64_t task) {
                write_regions(shape, tables, static_cast<const std::byte*>(x.data) + task / rows * strides[0], strides,
                              element_bytes, task % rows, static_cast<std::byte*>(regions) + task * row_bytes);
            });
    });
}

Status col2im(const ConvProblem& problem, const void* regions, const Array& x, const Options& options) noexcept {
    return guarded([&]() -> Status {
        ConvShape shape;
        const std::int64_t bytes = element_bytes(problem.dtype);
        if (Status status = make_region_shape(problem, bytes, shape); !status) return status;
        const ByteStrides strides = x.dense ? dense_strides(shape.in_channels, shape.input, bytes) : x.byte_strides;
        const RegionTables tables(shape);
        const auto sum_image = [&](auto zero, std::int64_t image, std::int64_t channel) {
            using T = decltype(zero);
            sum_regions<T>(shape, tables, static_cast<const T*>(regions) + image * shape.pixels * shape.depth, channel,
                           static_cast<std::byte*>(x.data) + image * strides[0], strides);
        };
        return run_tasks(options, double(shape.pixels) * double(shape.depth), shape.batch * shape.in_channels,
                         [&](int, std::int64_t task) {
                             const std::int64_t image = task / shape.in_channels, channel = task % shape.in_channels;
                             if (problem.dtype == DType::float32) {
                                 sum_image(0.0f, image, channel);
                             } else {
                                 sum_image(0.0, image, channel);
                             }
                         });
    });
}

}  // namespace v0
}  // namespace flatconv
