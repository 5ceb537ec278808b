// How an output is cut into bands, so that they fit the caches and keep all threads busy.
#ifndef FLATCONV_CONV_BAND_PLAN_HPP
#define FLATCONV_CONV_BAND_PLAN_HPP

#include "im2col/padded_band.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// Boxes of one size cover the output of an image; output channels may be cut as well. All parts are independent.
struct BandPlan {
    Extent box;
    Extent counts;           // boxes along each axis
    std::int64_t row_parts;  // parts of a group's output channels
    std::int64_t rows;       // output channels in a part
    std::int64_t tasks;      // batch · groups · boxes · row_parts
    double cost;             // of the busiest thread; see ConvAlgorithm::cost

    std::int64_t boxes() const { return counts[0] * counts[1] * counts[2]; }

    /// The box with this index; those at the ends are smaller.
    PixelBox at(const ConvShape& shape, std::int64_t index) const;
};

/// What the cost of a plan depends on, beside the shape.
struct BandCosts {
    int tile_rows;
    int tile_cols;
    int lanes;
    bool pads;       // the band is copied, padded
    bool packs_all;  // every vector is, and not only those that cross the end of a row
};

/// The cheapest plan whose boxes have at most `max_pixels` pixels (or one tile of them, where even that is more).
BandPlan plan_bands(const ConvShape& shape, const BandCosts& costs, std::int64_t max_pixels, int threads) noexcept;

}  // namespace flatconv

#endif
