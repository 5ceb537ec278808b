// The walk of tiles through a box of pixels: in any order, it computes the same sums.
#include "conv/tile_walk.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

/// The sums of a box of pixels, whose steps are those of its own dense memory, with one panel, by a walk.
std::vector<float> walked(const Kernels<float>& kernels, const Extent& size, const TileWalk& walk,
                          const std::vector<float>& pixels, const std::vector<float>& panel, int vectors) {
    const std::int64_t count = size[0] * size[1] * size[2], width = vectors * kernels.lanes;
    const auto depth = std::int64_t(panel.size()) / width;
    std::vector<std::ptrdiff_t> pixel_offsets, panel_offsets;
    for (std::int64_t d = 0; d < depth; ++d) {
        pixel_offsets.push_back(d * count);
        panel_offsets.push_back(d * width);
    }
    const Extent step{size[1] * size[2], size[2], 1};
    const Extent sums_step{step[0] * width, step[1] * width, width};
    std::vector<float> sums(std::size_t(count * width));
    multiply<float>(kernels, {{pixels.data(), walk.ordered(size), walk.ordered(step)},
                              pixel_offsets.data(),
                              {panel.data(), panel_offsets.data()},
                              vectors,
                              depth,
                              sums.data(),
                              walk.ordered(sums_step),
                              false,
                              nullptr,
                              walk.runs});
    return sums;
}

}  // namespace

TEST_CASE("a box has the same sums whichever way tiles walk through it") {
    std::mt19937 random(21);
    for (const KernelSet* set : usable_kernel_sets()) {
        CAPTURE(set->name);
        const Kernels<float>& kernels = set->float32;
        for (int round = 0; round < 200; ++round) {
            Extent size;
            for (std::int64_t& s : size) s = 1 + std::int64_t(random() % 9);
            if (round % 3 == 0) size[0] = 1;
            const int vectors = 1 + round % 2;
            const auto most = std::int64_t(kernels.panel_rows[vectors - 1]);
            const auto pixels = random_numbers<float>(std::size_t(5 * size[0] * size[1] * size[2]), 1);
            const auto panel = random_numbers<float>(std::size_t(5 * vectors * kernels.lanes), 2);
            const auto expected = walked(kernels, size, {{0, 1, 2}, {1, 1}, 0}, pixels, panel, vectors);
            // As each instruction set would choose, and as none would.
            TileWalk walk =
                quickest_walk(size, {most, double(vectors), 100, 1, random() % 2 == 0, double(random() % 3) / 2});
            REQUIRE(walk.cycles > 0);
            REQUIRE(walk.runs.length * walk.runs.lines <= most);
            REQUIRE(expected == walked(kernels, size, walk, pixels, panel, vectors));
            std::shuffle(walk.axes.begin(), walk.axes.end(), random);
            walk.runs = {1 + std::int64_t(random()) % (most / 2), 1 + std::int64_t(random() % 2)};
            REQUIRE(expected == walked(kernels, size, walk, pixels, panel, vectors));
        }
    }
}

TEST_CASE("tiles go along the columns of a narrow box, unless their pixels come from far") {
    const auto walk = [](const Extent& size, double fetches) {
        return quickest_walk(size, {14, 2, 300, 1, false, fetches});
    };
    CHECK(walk({1, 11, 1}, 0.3).axes[2] == 1);
    CHECK(walk({1, 7, 2}, 0.3).axes[2] == 1);
    CHECK(walk({1, 7, 2}, 0.3).runs.lines == 2);
    CHECK(walk({6, 2, 1}, 0.3).axes == std::array<std::size_t, 3>{2, 1, 0});
    CHECK(walk({1, 8, 8}, 1.0).axes[2] == 2);
    CHECK(walk({1, 20, 40}, 0.0).axes[2] == 2);
    CHECK(walk({1, 4, 6}, 1.0).runs.lines == 2);
    CHECK(walk({1, 4, 13}, 1.0).runs.lines == 1);
}
