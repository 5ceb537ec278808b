// How bands are shared among threads.
#include "conv/band_plan.hpp"

#include <doctest/doctest.h>

using namespace flatconv;

namespace {

ConvShape image(std::int64_t rows, std::int64_t out_channels) {
    ConvShape shape{};
    shape.batch = shape.groups = 1;
    shape.in_channels = 1;
    shape.out_channels = out_channels;
    shape.input = shape.output = {1, rows, 7};
    return shape;
}

/// Work that is in proportion to pixels and rows.
BandWork in_proportion(const Extent& box, std::int64_t rows) {
    return {1000.0 * double(box[0] * box[1] * box[2] * rows), 1};
}

BandPlan planned(const ConvShape& shape, int threads, bool kept) {
    return plan_bands(shape, {32, 14}, 1 << 20, threads, in_proportion, kept);
}

}  // namespace

TEST_CASE("the busiest thread is the one that ends last where each takes the next task when it is free") {
    BandPlan plan{};
    plan.box = {1, 4, 7};
    plan.counts = {1, 2, 1};  // of four lines and of three
    plan.rows = 32;
    // 40 40 40 40 40 30 30 30 30 30
    CHECK(busiest_thread(image(7, 160), plan, 40, 30, 2) == 180);
    // 40 40 | 20 | 30 30 | 15
    CHECK(busiest_thread(image(7, 80), plan, 40, 30, 2) == 90);
    CHECK(busiest_thread(image(7, 80), plan, 40, 30, 1) == 175);
    CHECK(busiest_thread(image(7, 80), plan, 40, 30, 16) == 40);
}

TEST_CASE("threads share five panels of seven lines nearly evenly where the plan is kept") {
    const ConvShape shape = image(7, 160);
    const double all = planned(shape, 1, true).cycles;
    const BandPlan kept = planned(shape, 2, true), passing = planned(shape, 2, false);
    CHECK(kept.tasks > passing.tasks);
    CHECK(kept.cycles < 0.54 * all);
    CHECK(passing.cycles > 0.56 * all);
    // Tasks are no more than what keeps a few for each thread.
    CHECK(kept.tasks <= 16);
}
