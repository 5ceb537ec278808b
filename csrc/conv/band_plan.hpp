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
    double elements;         // of the padded and packed band
    double cost;             // of the busiest thread; see ConvAlgorithm::cost

    std::int64_t boxes() const { return counts[0] * counts[1] * counts[2]; }

    /// The box with this index; those at the ends are smaller.
    PixelBox at(const ConvShape& shape, std::int64_t index) const;
};

/// What the bands' cost and size depend on, beside the shape.
struct BandCosts {
    int tile_rows;
    int tile_cols;
    int lanes;
    std::int64_t block;  // of depth
    std::int64_t ring;   // padded channels that are kept at a time
    bool packs_all;      // every vector is packed, and not only those that cross the end of a row
};

/// The cheapest plan whose bands take at most `max_elements`, padded and packed (or the least that a band can take).
BandPlan plan_bands(const ConvShape& shape, const BandCosts& costs, std::int64_t max_elements, int threads) noexcept;

}  // namespace flatconv

#endif
