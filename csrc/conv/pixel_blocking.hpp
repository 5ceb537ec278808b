// What the product with lanes across pixels decides before it touches an element, and the memory that it takes.
#ifndef FLATCONV_CONV_PIXEL_BLOCKING_HPP
#define FLATCONV_CONV_PIXEL_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

/// Which vectors of regions are packed into contiguous memory.
enum class Packing {
    all,       // every one: the region matrix, band by band
    crossing,  // only those that run across the end of a row, because the others can be read where they lie
};

/// What multiplies.
template <typename T>
struct Multiplier {
    const Kernels<T>& kernels;
    std::int64_t depths = 1;  // that one word of the kernels holds, each a smaller element of the band
    std::int64_t block = depth_block;
};

template <typename T>
struct PixelBlocking {
    PixelBlocking(const PlanRequest& request, Packing wanted_packing)
        : PixelBlocking(request, wanted_packing, Multiplier<T>{kernels_of<T>(*request.kernels)}) {}

    PixelBlocking(const PlanRequest& request, Packing wanted_packing, const Multiplier<T>& multiplier)
        : kernels(multiplier.kernels),
          shape(request.shape),
          packing(wanted_packing),
          word_depths(multiplier.depths),
          x_aligned(request.x_aligned),
          half_x(halves_of_x<T>(request)),
          half_y(halves_of_y<T>(request)),
          in_place(packing == Packing::crossing && request.x_pixels_dense && shape.reads_pixels_as_they_are()),
          strays(request.channels_innermost),
          keeps_sums(!request.y_in_rows),
          block(std::clamp<std::int64_t>(shape.depth, 1, multiplier.block)),
          ring(in_place ? 0 : std::min(shape.in_channels, ceil_div(block - 1, shape.taps) + 1)),
          bands(plan_bands(
              shape, {kernels.tile_rows, kernels.tile_cols}, request.band_bytes / std::int64_t(sizeof(T)),
              request.threads, [this](const Extent& box, std::int64_t rows) { return work(box, rows); },
              request.weights == WeightForm::packed)),
          layout(shape, bands.box),
          vectors(ceil_div(bands.box[0] * bands.box[1] * bands.box[2], kernels.lanes)),
          packed_vectors(packing == Packing::all ? vectors : count_crossing()),
          packed_stride(round_up((words(block) + 1) * kernels.lanes, std::int64_t(cache_line / sizeof(T)))),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const Packing packing;
    const std::int64_t word_depths;
    const bool x_aligned;
    const HalfKernels<T>* const half_x;  // of x; or null
    const HalfKernels<T>* const half_y;  // of y and the residual; or null
    const bool in_place;                 // the image itself is the region matrix
    const bool strays;                   // neighbouring pixels are apart, as where channels are innermost
    const bool keeps_sums;               // until they are finished, because y has no rows of pixels to hold them
    const std::int64_t block;            // of depth
    const std::int64_t ring;             // padded channels that are kept at a time
    const BandPlan bands;
    const BandLayout layout;
    const std::int64_t vectors;         // of the largest box
    const std::int64_t packed_vectors;  // of those, at most
    const std::int64_t packed_stride;
    const int participants;

    std::int64_t tasks() const { return bands.tasks; }
    double cycles() const { return bands.cycles; }

    /// So many depths in words; blocks begin with a whole one.
    std::int64_t words(std::int64_t depths) const { return ceil_div(depths, word_depths); }

    /// Of so many rows, those whose sums are kept at a time: halves are rounded strip by strip, as soon as may be.
    std::int64_t sum_rows(std::int64_t rows) const {
        return half_y && shape.depth <= block ? std::min<std::int64_t>(rows, kernels.tile_rows) : rows;
    }

  private:
    BandWork work(const Extent& box, std::int64_t rows) const {
        const auto pixels = double(box[0] * box[1] * box[2]);
        const double depth = double(words(shape.depth)), channels = double(shape.in_channels);
        const double blocks = double(ceil_div(shape.depth, block));
        const double tile_rows = double(even_tile(rows, kernels.tile_rows));
        const std::int64_t tile_vectors = kernels.tile_cols / kernels.lanes;
        const std::int64_t box_vectors = ceil_div(box[0] * box[1] * box[2], kernels.lanes);
        // A strip of rows, of which the last tile may be narrower.
        const double strip =
            depth *
                (double(box_vectors / tile_vectors) * cost::tile_depth(tile_rows, double(tile_vectors)) +
                 (box_vectors % tile_vectors == 0 ? 0
                                                  : cost::tile_depth(tile_rows, double(box_vectors % tile_vectors)))) +
            blocks * (cost::pixel_tile * double(ceil_div(box_vectors, tile_vectors)) +
                      cost::store * tile_rows * double(box_vectors));
        const PaddedSize padded = in_place ? PaddedSize{0, 0} : padded_size(shape, box);
        const double packed = packing == Packing::all ? pixels : pixels * crossing_share(shape, box, kernels.lanes);
        const double sums = keeps_sums ? pixels * double(rows) : 0,
                     kept = keeps_sums ? pixels * double(sum_rows(rows)) : 0;
        return {(strays ? cost::stray * (channels * padded.elements + sums) : 0) +
                    double(ceil_div(rows, kernels.tile_rows)) * strip +
                    channels * (cost::pad * padded.elements + cost::pad_row * padded.rows) +
                    (word_depths == 1 ? cost::pack : cost::join) * packed * depth +
                    cost::brought(double(rows) * depth,
                                  double(shape.groups * shape.out_channels) * depth * double(sizeof(T))) +
                    (half_y ? cost::pad : 4 * cost::finish) * sums,
                (in_place ? pixels * double(block) : padded.elements * double(words(ring))) +
                    packed * double(words(block)) + kept,
                in_place ? cost::brought(pixels * channels, x_bytes<T>(shape)) : 0};
    }

    /// In the largest box; a smaller one has no more.
    std::int64_t count_crossing() const {
        const PixelBox box{{0, 0, 0}, bands.box};
        // In place, only a last vector that would read beyond the image.
        if (in_place) return 1;
        if (layout.is_dense(box)) return 0;
        const std::int64_t pixels = box.pixels(), width = box.size[2];
        std::int64_t crossing = 0;
        for (std::int64_t first = 0; first < pixels; first += kernels.lanes) {
            const std::int64_t last = std::min(first + kernels.lanes, pixels) - 1;
            crossing += first / width != last / width;
        }
        return crossing;
    }
};

/// What a participant's tables were last made for: all boxes of one size have the same.
struct PlannedBox {
    Extent size;
    std::int64_t packed_vectors;
};

/// The memory of one participant.
template <typename T>
struct PixelWorkspace {
    PlannedBox* planned;
    ImageBlock* blocks;    // of the image in a band
    std::int64_t* placed;  // how many of those a band before left; or -1
    T* ring;
    T* packed;                       // packed_vectors of packed_stride
    std::ptrdiff_t* offsets;         // of each depth of the block, in the ring or in the image
    std::ptrdiff_t* packed_offsets;  // of each depth in a packed vector
    VectorOperand<T>* regions;
    PixelCopy* copies;  // `lanes` for each packed vector, and for one that is being planned
    int* copy_counts;
    T* sums;  // rows × whole vectors of pixels, or null

    PixelWorkspace(const PixelBlocking<T>& blocking, Carver& carver) {
        const auto lanes = std::size_t(blocking.kernels.lanes);
        const auto vectors = std::size_t(blocking.vectors);
        const auto packed_vectors = std::size_t(blocking.packed_vectors);
        const auto block = std::size_t(blocking.block);
        planned = carver.take<PlannedBox>(1);
        blocks = carver.take<ImageBlock>(std::size_t(blocking.layout.most_image_blocks()));
        placed = carver.take<std::int64_t>(1);
        // Vectors are read whole, so that the last of a row may run on behind the ring's end.
        ring = carver.take<T>(std::size_t(blocking.words(blocking.ring * blocking.layout.channel_length())) + lanes);
        packed = carver.take<T>(packed_vectors * std::size_t(blocking.packed_stride));
        offsets = carver.take<std::ptrdiff_t>(block);
        packed_offsets = carver.take<std::ptrdiff_t>(block);
        regions = carver.take<VectorOperand<T>>(vectors + 1);
        copies = carver.take<PixelCopy>((packed_vectors + 1) * lanes);
        copy_counts = carver.take<int>(packed_vectors);
        sums = blocking.keeps_sums
                   ? carver.take<T>(std::size_t(blocking.sum_rows(blocking.bands.rows)) * vectors * lanes)
                   : nullptr;
    }

    void prepare(const PixelBlocking<T>& blocking) const {
        *planned = {};
        *placed = -1;
        for (std::int64_t d = 0; d < blocking.block; ++d) {
            packed_offsets[d] = std::ptrdiff_t(d * blocking.kernels.lanes);
        }
    }
};

}  // namespace flatconv

#endif
