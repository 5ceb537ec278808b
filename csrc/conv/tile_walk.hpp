// In which order the pixels of a box are taken into tiles; for a plan's cost, and for each part of a band.
#ifndef FLATCONV_CONV_TILE_WALK_HPP
#define FLATCONV_CONV_TILE_WALK_HPP

#include <algorithm>
#include <array>

#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

/// The runs of a tile go along the last of these axes, and where it has two they are neighbours along the one before.
struct TileWalk {
    std::array<std::size_t, max_spatial_rank> axes;
    TileRuns runs;
    double cycles;  // of all tiles of the box, with one panel

    Extent ordered(const Extent& extent) const { return {extent[axes[0]], extent[axes[1]], extent[axes[2]]}; }
};

/// What each of the tiles has to do.
struct TileDepth {
    std::int64_t most_rows;
    double vectors;
    double depth;
    double blocks;   // of depth
    bool near;       // the panel, in the first-level cache
    double fetches;  // lines of the cache for each pixel and depth, where tiles go across the rows of pixels

    double cycles(double rows, bool across) const {
        double cycles = near ? cost::tile_depth(rows, vectors) : cost::far_panel_depth(rows, vectors);
        if (across) cycles = std::max(cycles, cost::across + cost::fetch * rows * fetches);
        return depth * cycles + blocks * (cost::tile + cost::store * rows * vectors);
    }
};

/// The quickest walk through a box of so many pixels.
inline TileWalk quickest_walk(const Extent& size, const TileDepth& tile) noexcept {
    const std::int64_t most = tile.most_rows;
    TileWalk best{};
    const auto consider = [&](std::size_t outer, std::size_t between, std::size_t along) {
        const std::int64_t width = size[along], neighbours = size[between];
        const auto with = [&](std::int64_t lines, std::int64_t pairs, std::int64_t singles) {
            const std::int64_t runs = ceil_div(width, lines == 2 ? most / 2 : most);
            const double run = double(width) / double(runs);
            double cycles = singles > 0 ? double(singles) * tile.cycles(run, along != 2) : 0;
            if (pairs > 0) cycles += double(pairs) * tile.cycles(2 * run, along != 2);
            cycles *= double(size[outer] * runs);
            if (best.cycles == 0 || cycles < best.cycles) {
                best = {{outer, between, along}, {ceil_div(width, runs), lines}, cycles};
            }
        };
        with(1, 0, neighbours);
        if (neighbours > 1 && width < 2 * most) with(2, neighbours / 2, neighbours % 2);
    };
    consider(0, 1, 2);
    // Tiles of long rows are full anyhow.
    if (size[2] >= most) return best;
    if (size[1] > 1) consider(0, 2, 1);
    if (size[0] == 1) return best;
    consider(1, 0, 2);
    consider(1, 2, 0);
    if (size[1] == 1) return best;
    consider(2, 0, 1);
    consider(2, 1, 0);
    return best;
}

}  // namespace flatconv

#endif
