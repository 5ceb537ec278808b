// The regions of a band as vectors of pixels: where each is read, and those packed that do not lie in one piece.
#ifndef FLATCONV_CONV_PLACED_VECTORS_HPP
#define FLATCONV_CONV_PLACED_VECTORS_HPP

#include <algorithm>

#include "conv/pixel_blocking.hpp"
#include "im2col/region_vectors.hpp"

namespace flatconv {

/// The vectors of one participant's workspace, over the ring of padded channels.
template <typename T>
class PlacedVectors {
  public:
    PlacedVectors(const PixelBlocking<T>& blocking, const PixelWorkspace<T>& workspace)
        : blocking_(blocking), workspace_(workspace) {}

    /// Decides for every vector of pixels of a box whether it is read where it lies, in the ring.
    void place(const PixelBox& box) const {
        PlannedBox& planned = *workspace_.planned;
        if (planned.size == box.size) return;
        const int lanes = blocking_.kernels.lanes;
        const std::int64_t pixels = box.pixels();
        std::int64_t count = 0;
        for (std::int64_t first = 0; first < pixels; first += lanes) {
            PixelCopy* copies = workspace_.copies + count * lanes;
            const int copy_count =
                plan_vector(blocking_.layout, box, first, std::min<std::int64_t>(lanes, pixels - first), copies);
            VectorOperand<T>& region = workspace_.regions[first / lanes];
            if (copy_count == 1 && blocking_.packing == Packing::crossing) {
                region = {workspace_.ring + copies[0].source, workspace_.offsets};
            } else {
                workspace_.copy_counts[count] = copy_count;
                region = {packed(count++), workspace_.packed_offsets};
            }
        }
        planned = {box.size, count};
    }

    T* packed(std::int64_t index) const { return workspace_.packed + index * blocking_.packed_stride; }

    /// Packs those that must be, for a block of depth.
    void pack(std::int64_t length) const {
        for (std::int64_t v = 0; v < workspace_.planned->packed_vectors; ++v) {
            blocking_.kernels.pack_vector({workspace_.ring, workspace_.offsets, length,
                                           workspace_.copies + v * blocking_.kernels.lanes, workspace_.copy_counts[v],
                                           packed(v)});
        }
    }

  private:
    const PixelBlocking<T>& blocking_;
    const PixelWorkspace<T>& workspace_;
};

}  // namespace flatconv

#endif
