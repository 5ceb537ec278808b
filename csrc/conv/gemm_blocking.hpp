// What the algorithms on the blocked product decide before they touch an element, and the memory that it takes.
#ifndef FLATCONV_CONV_GEMM_BLOCKING_HPP
#define FLATCONV_CONV_GEMM_BLOCKING_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/weights.hpp"

namespace flatconv {

/// Which vectors of regions are packed into contiguous memory.
enum class Packing {
    all,       // every one: the region matrix, band by band
    crossing,  // only those that run across the end of a row, because the others can be read where they lie
};

template <typename T>
struct GemmBlocking {
    GemmBlocking(const PlanRequest& request, Packing wanted_packing)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(request.shape),
          packing(wanted_packing),
          in_place(packing == Packing::crossing && request.x_pixels_dense && reads_pixels_as_they_are(shape)),
          pack_weights(!request.weights_in_rows),
          block(std::clamp<std::int64_t>(shape.depth, 1, depth_block)),
          ring(in_place ? 0 : std::min(shape.in_channels, ceil_div(block - 1, shape.taps) + 1)),
          bands(plan_bands(shape,
                           {kernels.tile_rows, kernels.tile_cols, kernels.lanes, block, ring, packing == Packing::all},
                           request.region_bytes / std::int64_t(sizeof(T)), request.threads)),
          layout(shape, bands.box),
          vectors(ceil_div(bands.box[0] * bands.box[1] * bands.box[2], kernels.lanes)),
          packed_vectors(packing == Packing::all ? vectors : count_crossing()),
          packed_stride(round_up((block + 1) * kernels.lanes, std::int64_t(cache_line / sizeof(T)))),
          participants(int(std::min<std::int64_t>(request.participants, bands.tasks))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const Packing packing;
    const bool in_place;  // the image itself is the region matrix
    const bool pack_weights;
    const std::int64_t block;  // of depth
    const std::int64_t ring;   // padded channels that are kept at a time
    const BandPlan bands;
    const BandLayout layout;
    const std::int64_t vectors;         // of the largest box
    const std::int64_t packed_vectors;  // of those, at most
    const std::int64_t packed_stride;
    const int participants;

  private:
    /// A kernel of one element that visits every pixel once.
    static bool reads_pixels_as_they_are(const ConvShape& shape) {
        return shape.taps == 1 && shape.stride == Extent{1, 1, 1} && shape.pad_before == Extent{0, 0, 0} &&
               shape.output == shape.input;
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

/// The boxes that a participant's tables were last made for; tasks of one box follow each other.
struct PlannedBoxes {
    std::int64_t regions;
    std::int64_t packed_vectors;
    std::int64_t pixel_at;
};

/// The memory of one participant.
template <typename T>
struct GemmWorkspace {
    PlannedBoxes* planned;
    T* ring;
    T* packed;                       // packed_vectors of packed_stride
    std::ptrdiff_t* offsets;         // of each depth of the block, in the ring or in the image
    std::ptrdiff_t* packed_offsets;  // of each depth in a packed vector
    RegionVector<T>* regions;
    PixelCopy* copies;  // `lanes` for each packed vector, and for one that is being planned
    int* copy_counts;
    std::int64_t* pixel_at;  // see OutputBand
    T* scratch;              // one tile

    GemmWorkspace(const GemmBlocking<T>& blocking, Carver& carver) {
        const auto lanes = std::size_t(blocking.kernels.lanes);
        const auto vectors = std::size_t(blocking.vectors);
        const auto packed_vectors = std::size_t(blocking.packed_vectors);
        planned = carver.take<PlannedBoxes>(1);
        // Vectors are read whole, so that the last of a row may run on behind the ring's end.
        ring = carver.take<T>(std::size_t(blocking.ring * blocking.layout.channel_length()) + lanes);
        packed = carver.take<T>(packed_vectors * std::size_t(blocking.packed_stride));
        offsets = carver.take<std::ptrdiff_t>(std::size_t(blocking.block));
        packed_offsets = carver.take<std::ptrdiff_t>(std::size_t(blocking.block));
        regions = carver.take<RegionVector<T>>(vectors);
        copies = carver.take<PixelCopy>((packed_vectors + 1) * lanes);
        copy_counts = carver.take<int>(packed_vectors);
        pixel_at = carver.take<std::int64_t>(vectors * lanes);
        scratch = carver.take<T>(std::size_t(blocking.kernels.tile_rows * blocking.kernels.tile_cols));
    }
};

/// The memory that all participants read.
template <typename T>
struct SharedGemmWorkspace {
    T* weights;  // packed rows, where the caller's cannot be read as they lie; else null
    T* bias;

    SharedGemmWorkspace(const GemmBlocking<T>& blocking, Carver& carver) {
        const auto rows = std::size_t(blocking.shape.groups * blocking.shape.out_channels);
        const auto stride = std::size_t(packed_row_stride<T>(blocking.shape.depth));
        weights = blocking.pack_weights ? carver.take<T>(rows * stride) : nullptr;
        bias = carver.take<T>(rows);
    }
};

}  // namespace flatconv

#endif
