// The layout of bands, padding, and the vectors, against the definition: the element that a tap reads at a position.
#include <doctest/doctest.h>

#include <set>

#include "im2col/axis_band.hpp"
#include "im2col/padded_band.hpp"
#include "im2col/region_vectors.hpp"
#include "kernel_sets.hpp"
#include "problem/padding.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

/// The padded coordinate that each element of a band holds.
std::vector<std::int64_t> coordinates(const AxisBand& band, std::int64_t stride) {
    std::vector<std::int64_t> all(std::size_t(band.length()), -1);
    for (std::int64_t index = 0; index < band.runs(); ++index) {
        const AxisRun run = band.run(index);
        for (std::int64_t i = 0; i < run.length; ++i) all[std::size_t(run.at + i)] = run.first + i * stride;
    }
    return all;
}

}  // namespace

TEST_CASE("an axis band holds every coordinate that a tap reads, once, at consecutive places") {
    for (std::int64_t taps = 1; taps <= 7; ++taps) {
        for (std::int64_t stride = 1; stride <= 5; ++stride) {
            for (const std::int64_t dilation : {1, 2, 3, 4, 6, 7, 10, 1000}) {
                for (const auto& [positions, mirrored] :
                     {std::pair(1, false), {2, false}, {3, true}, {3, false}, {8, true}, {8, false}}) {
                    const AxisBand band(taps, stride, dilation, positions, mirrored);
                    const std::vector<std::int64_t> held = coordinates(band, stride);
                    std::set<std::int64_t> read;
                    AxisBand::Walk walk(band, 0);
                    for (std::int64_t tap = 0; tap < taps; ++tap, walk.next()) {
                        REQUIRE(walk.at() == band.tap_at(tap));
                        for (std::int64_t o = 0; o < positions; ++o) {
                            const std::int64_t place = mirrored ? taps - 1 - tap : tap;
                            const std::int64_t coordinate = o * stride + place * dilation;
                            REQUIRE(held[std::size_t(band.tap_at(tap) + o)] == coordinate);
                            read.insert(coordinate);
                        }
                    }
                    CHECK(std::set<std::int64_t>(held.begin(), held.end()) == read);
                    CHECK(held.size() == read.size());
                }
            }
        }
    }
}

TEST_CASE("a huge dilation costs no memory") {
    const AxisBand band(3, 1, std::int64_t{1} << 30, 10);
    CHECK(band.length() == 30);
    CHECK(band.runs() == 3);
}

namespace {

ConvShape shape_of(ConvProblem problem) {
    ConvShape shape{};
    REQUIRE(make_shape(problem, shape));
    return shape;
}

/// The padded image's element that a tap reads, by the definition of padding.
float expected_pixel(const ConvShape& shape, const std::vector<float>& image, const Extent& position,
                     const Extent& tap) {
    std::int64_t at = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const std::int64_t place = shape.mirrored ? shape.kernel[axis] - 1 - tap[axis] : tap[axis];
        const std::int64_t coordinate =
            position[axis] * shape.stride[axis] + place * shape.dilation[axis] - shape.pad_before[axis];
        const std::int64_t source = source_index(shape.padding_mode, coordinate, shape.input[axis]);
        if (source == zero_element) return 0;
        at = at * shape.input[axis] + source;
    }
    return image[std::size_t(at)];
}

void check_all_boxes(const ConvShape& shape, const Extent& box_size) {
    const auto image = random_numbers<float>(std::size_t(shape.input[0] * shape.input[1] * shape.input[2]), 7);
    const ByteStrides dense = dense_strides(1, shape.input, 4);
    const BandLayout layout(shape, box_size);
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<float>& kernels = set->float32;
        std::vector<float> band(std::size_t(layout.channel_length() + kernels.lanes), -77.0f);
        for (std::int64_t d0 = 0; d0 < shape.output[0]; d0 += box_size[0]) {
            for (std::int64_t h0 = 0; h0 < shape.output[1]; h0 += box_size[1]) {
                for (std::int64_t w0 = 0; w0 < shape.output[2]; w0 += box_size[2]) {
                    PixelBox box{{d0, h0, w0}, {}};
                    for (std::size_t axis = 0; axis < 3; ++axis) {
                        box.size[axis] = std::min(box_size[axis], shape.output[axis] - box.first[axis]);
                    }
                    layout.pad_channel<float>(kernels, nullptr, shape, reinterpret_cast<const std::byte*>(image.data()),
                                              {dense[2], dense[3], dense[4]}, box, band.data());
                    std::vector<std::ptrdiff_t> offsets;
                    std::vector<Extent> taps;
                    for (std::int64_t kd = 0; kd < shape.kernel[0]; ++kd) {
                        for (std::int64_t kh = 0; kh < shape.kernel[1]; ++kh) {
                            for (std::int64_t kw = 0; kw < shape.kernel[2]; ++kw) {
                                offsets.push_back(layout.tap_at(kd, kh, kw));
                                taps.push_back({kd, kh, kw});
                            }
                        }
                    }
                    const auto lanes = std::size_t(kernels.lanes);
                    for (std::int64_t first = 0; first < box.pixels(); first += kernels.lanes) {
                        const std::int64_t count = std::min<std::int64_t>(kernels.lanes, box.pixels() - first);
                        std::vector<PixelCopy> copies(lanes);
                        const int copy_count = plan_vector(layout, box, first, count, copies.data());
                        REQUIRE(copy_count <= count);
                        std::vector<float> packed((taps.size() + 1) * lanes);
                        kernels.pack_vector({band.data(), offsets.data(), std::int64_t(taps.size()), copies.data(),
                                             copy_count, packed.data()});
                        for (std::size_t t = 0; t < taps.size(); ++t) {
                            for (std::int64_t c = 0; c < count; ++c) {
                                const std::int64_t pixel = first + c;
                                const Extent position{
                                    d0 + pixel / (box.size[1] * box.size[2]),
                                    h0 + pixel / box.size[2] % box.size[1],
                                    w0 + pixel % box.size[2],
                                };
                                REQUIRE(packed[t * lanes + std::size_t(c)] ==
                                        expected_pixel(shape, image, position, taps[t]));
                            }
                        }
                    }
                }
            }
        }
    }
}

void check_all_boxes(const ConvProblem& problem, const Extent& box_size) {
    check_all_boxes(shape_of(problem), box_size);
}

}  // namespace

TEST_CASE("bands and vectors hold what the taps read, in every padding mode") {
    for (const PaddingMode mode : {PaddingMode::zeros, PaddingMode::reflect, PaddingMode::replicate,
                                   PaddingMode::circular, PaddingMode::symmetric}) {
        ConvProblem problem;
        problem.spatial_rank = 3;
        problem.padding_mode = mode;
        problem.input = {4, 7, 45};
        problem.kernel = {2, 3, 5};
        problem.stride = {1, 2, 1};
        problem.dilation = {2, 1, 3};
        problem.pad_before = {1, 0, 50};
        problem.pad_after = {2, 3, 7};
        const ConvShape shape = shape_of(problem);
        SUBCASE("part of a row") { check_all_boxes(problem, {1, 1, 33}); }
        SUBCASE("rows") { check_all_boxes(problem, {1, 2, shape.output[2]}); }
        SUBCASE("planes") { check_all_boxes(problem, {2, shape.output[1], shape.output[2]}); }
    }
}

TEST_CASE("bands pull strided columns apart") {
    ConvProblem problem;
    problem.input = {1, 23, 101};
    problem.kernel = {1, 4, 7};
    problem.stride = {1, 3, 4};
    problem.pad_before = {0, 2, 3};
    problem.pad_after = {0, 9, 2};
    check_all_boxes(problem, {1, 1, 16});
    check_all_boxes(problem, {1, 3, shape_of(problem).output[2]});
}

TEST_CASE("bands of a kernel that lies mirrored, and of positions that begin inside or beyond the image") {
    ConvProblem problem;
    problem.input = {1, 9, 61};
    problem.kernel = {1, 3, 4};
    problem.dilation = {1, 2, 3};
    ConvShape shape = shape_of(problem);
    shape.mirrored = true;
    for (const std::int64_t pad : {-70, -61, -5, -1, 0, 3}) {
        shape.pad_before = {0, pad / 5, pad};
        shape.output = {1, 7, 50};
        check_all_boxes(shape, {1, 1, 16});
        check_all_boxes(shape, {1, 3, 50});
    }
}
