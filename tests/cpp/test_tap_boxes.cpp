// The cut of the output into boxes, against a count of what every tap reads.
#include "conv/tap_boxes.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

bool in_image(const ConvShape& shape, std::size_t axis, std::int64_t output, std::int64_t tap) {
    if (shape.mirrored) tap = shape.kernel[axis] - 1 - tap;
    const std::int64_t pixel = output * shape.stride[axis] + tap * shape.dilation[axis] - shape.pad_before[axis];
    return pixel >= 0 && pixel < shape.input[axis];
}

/// How often the taps of one axis are in the image, over all outputs.
double share_in_image(const ConvShape& shape, std::size_t axis) {
    std::int64_t count = 0;
    for (std::int64_t o = 0; o < shape.output[axis]; ++o) {
        for (std::int64_t k = 0; k < shape.kernel[axis]; ++k) count += in_image(shape, axis, o, k);
    }
    return double(count) / double(shape.output[axis] * shape.kernel[axis]);
}

ConvShape random_shape(std::mt19937& random) {
    const auto below = [&](std::int64_t most) { return std::int64_t(random()) % most; };
    ConvShape shape{};
    shape.padding_mode = PaddingMode::zeros;
    shape.mirrored = below(2);
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        shape.input[axis] = 1 + below(9);
        shape.kernel[axis] = 1 + below(4);
        shape.stride[axis] = 1 + below(3);
        shape.dilation[axis] = 1 + below(12);
        shape.pad_before[axis] = below(12);
        shape.output[axis] = 1 + below(12);
    }
    return shape;
}

}  // namespace

TEST_CASE("boxes cover a part of the output once, with every tap that meets the image") {
    std::mt19937 random(11);
    for (int round = 0; round < 2000; ++round) {
        const ConvShape shape = random_shape(random);
        TapBoxes boxes(shape, std::size_t(round % 4));
        REQUIRE(boxes.count() <= TapBoxes::most);
        if (round % 8 == 7) boxes.choose_rows([&](const TapBox*, std::int64_t) { return random() % 2 == 0; });
        PixelBox box;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            box.first[axis] = std::int64_t(random()) % shape.output[axis];
            box.size[axis] = 1 + std::int64_t(random()) % (shape.output[axis] - box.first[axis]);
        }
        std::set<Extent> seen;
        boxes.for_each_in(box, [&](const TapBox& part) {
            std::set<std::int64_t> counted;
            std::int64_t last_end = -1;
            part.for_each_run(shape.kernel, [&](std::int64_t first, std::int64_t end) {
                // In order, and what follows each other at once is one run.
                REQUIRE(last_end < first);
                for (last_end = first; last_end < end; ++last_end) counted.insert(last_end);
            });
            REQUIRE(std::int64_t(counted.size()) == part.count());
            for (std::int64_t d = 0; d < part.box.size[0]; ++d) {
                for (std::int64_t h = 0; h < part.box.size[1]; ++h) {
                    for (std::int64_t w = 0; w < part.box.size[2]; ++w) {
                        const Extent at{part.box.first[0] + d, part.box.first[1] + h, part.box.first[2] + w};
                        REQUIRE(seen.insert(at).second);
                        for (std::int64_t kd = 0; kd < shape.kernel[0]; ++kd) {
                            for (std::int64_t kh = 0; kh < shape.kernel[1]; ++kh) {
                                for (std::int64_t kw = 0; kw < shape.kernel[2]; ++kw) {
                                    const bool meets = in_image(shape, 0, box.first[0] + at[0], kd) &&
                                                       in_image(shape, 1, box.first[1] + at[1], kh) &&
                                                       in_image(shape, 2, box.first[2] + at[2], kw);
                                    const std::int64_t tap = (kd * shape.kernel[1] + kh) * shape.kernel[2] + kw;
                                    if (meets) REQUIRE(counted.count(tap) == 1);
                                }
                            }
                        }
                    }
                }
            }
        });
        REQUIRE(std::int64_t(seen.size()) == box.pixels());
        REQUIRE(seen.rbegin()->at(0) < box.size[0]);
    }
}

TEST_CASE("no tap counts that never meets the image, as long as the boxes are few") {
    std::mt19937 random(12);
    int exact = 0;
    for (int round = 0; round < 2000; ++round) {
        ConvShape shape = random_shape(random);
        for (std::size_t axis = 0; axis < 2; ++axis) shape.kernel[axis] = shape.output[axis] = 1;
        const TapBoxes boxes(shape, 3);
        if (boxes.count() >= TapBoxes::most) continue;
        double share = 1;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) share *= share_in_image(shape, axis);
        REQUIRE(boxes.share() == doctest::Approx(share));
        exact += boxes.leave_out();
    }
    CHECK(exact > 500);
}

TEST_CASE("rows are cut where that is asked for, and the taps that the cut leaves out are counted") {
    ConvShape shape{};
    shape.input = shape.output = {1, 7, 8};
    shape.kernel = {1, 3, 3};
    shape.stride = shape.dilation = {1, 1, 1};
    shape.pad_before = {0, 1, 1};
    TapBoxes boxes(shape, 3);
    CHECK(boxes.count() == 9);
    boxes.choose_rows([](const TapBox* parts, std::int64_t count) {
        REQUIRE(count == 3);
        const TapBox& whole = parts[count];
        CHECK(whole.box.size[2] == 8);
        CHECK(whole.count() == 3 * (whole.end_tap[1] - whole.first_tap[1]));
        std::int64_t end = 0, products = 0;
        for (std::int64_t p = 0; p < count; ++p) {
            CHECK(parts[p].box.first[1] == whole.box.first[1]);
            CHECK(parts[p].box.first[2] == end);
            end += parts[p].box.size[2];
            products += parts[p].box.size[2] * parts[p].count();
        }
        CHECK(end == 8);
        CHECK(products * 24 == whole.box.size[2] * whole.count() * 22);
        return whole.box.size[1] > 1;
    });
    CHECK(boxes.count() == 5);
    CHECK(boxes.share() == doctest::Approx((5.0 * 22 * 3 + 2 * 24 * 2) / (7 * 24 * 3)));
    boxes.choose_rows([](const TapBox*, std::int64_t) { return false; });
    CHECK(boxes.count() == 3);
    CHECK(boxes.share() == doctest::Approx(19.0 / 21));
}

TEST_CASE("where padding repeats pixels, and where none is read, every tap counts") {
    ConvShape shape{};
    shape.input = {1, 7, 7};
    shape.kernel = {1, 3, 3};
    shape.stride = shape.dilation = {1, 1, 1};
    shape.output = {1, 5, 5};
    CHECK(!TapBoxes(shape, 3).leave_out());
    CHECK(TapBoxes(shape, 3).count() == 1);
    shape.pad_before = {0, 1, 1};
    shape.output = {1, 7, 7};
    CHECK(TapBoxes(shape, 3).count() == 9);
    CHECK(TapBoxes(shape, 2).count() == 3);
    CHECK(TapBoxes(shape, 2).share() == doctest::Approx(19.0 / 21));
    CHECK(!TapBoxes(shape, 0).leave_out());
    shape.padding_mode = PaddingMode::replicate;
    CHECK(!TapBoxes(shape, 3).leave_out());
}
