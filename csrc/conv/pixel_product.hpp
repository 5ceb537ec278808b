// One task of the product with lanes across pixels: one band of output pixels, walked through all of depth.
#ifndef FLATCONV_CONV_PIXEL_PRODUCT_HPP
#define FLATCONV_CONV_PIXEL_PRODUCT_HPP

#include "conv/output_band.hpp"
#include "conv/padded_channels.hpp"
#include "conv/pixel_blocking.hpp"
#include "im2col/region_vectors.hpp"

namespace flatconv {

/// Per block of depth, `run` pads the channels that are new, packs the vectors of regions that must be, and multiplies.
template <typename T>
class PixelTask {
  public:
    PixelTask(const PixelBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
              const PixelWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          workspace_(workspace),
          task_(shape_, blocking.bands, index),
          pixels_(task_.box.pixels()),
          weights_{operands.weights.data + first_row() * operands.weights.stride, operands.weights.stride},
          channel_(static_cast<const std::byte*>(arrays.x.data) + task_.image * arrays.x.byte_strides[0] +
                   task_.group * shape_.in_channels * arrays.x.byte_strides[1]),
          y_(shape_, task_, arrays, operands.bias + first_row(), operands.activation) {}

    void run(parallel::Cancellation& cancellation) {
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.layout, shape_, task_.box, arrays_.x.byte_strides,
                                        blocking_.x_aligned, workspace_.blocks);
        PaddedChannels<T> padded(padding, blocking_.layout, shape_, channel_, arrays_.x.byte_strides[1],
                                 workspace_.ring, blocking_.ring);
        if (blocking_.in_place) {
            place_pixels();
        } else {
            place_vectors();
        }
        std::int64_t depth = 0;
        // Without depth, one empty block still writes the bias.
        do {
            if (cancellation.poll()) return;
            const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
            if (blocking_.in_place) {
                place_channels(depth, length);
                pack_last_pixels(length);
            } else {
                padded.advance(depth, length, workspace_.offsets);
                pack_vectors(length);
            }
            multiply_block(depth, length);
            depth += length;
        } while (depth < shape_.depth);
        if (!workspace_.sums) return;
        for (std::int64_t r = 0; r < task_.rows; ++r)
            y_.scatter(blocking_.kernels, r, workspace_.sums + r * sums_stride(), std::ptrdiff_t(task_.box.size[2]));
    }

  private:
    std::int64_t first_row() const { return task_.group * shape_.out_channels + task_.first_row; }

    // -----------------------------------------------------------------------------------------------------------------
    // Regions from the ring

    /// Decides for every vector of pixels whether it is read where it lies, in the ring.
    void place_vectors() {
        PlannedBox& planned = *workspace_.planned;
        if (planned.index == task_.box_index) return;
        const int lanes = blocking_.kernels.lanes;
        std::int64_t packed = 0;
        for (std::int64_t first = 0; first < pixels_; first += lanes) {
            PixelCopy* copies = workspace_.copies + packed * lanes;
            const int copy_count =
                plan_vector(blocking_.layout, task_.box, first, std::min<std::int64_t>(lanes, pixels_ - first), copies);
            VectorOperand<T>& region = workspace_.regions[first / lanes];
            if (copy_count == 1 && blocking_.packing == Packing::crossing) {
                region = {workspace_.ring + copies[0].source, workspace_.offsets};
            } else {
                workspace_.copy_counts[packed] = copy_count;
                region = {packed_vector(packed++), workspace_.packed_offsets};
            }
        }
        planned = {task_.box_index, packed};
    }

    T* packed_vector(std::int64_t index) const { return workspace_.packed + index * blocking_.packed_stride; }

    void pack_vectors(std::int64_t length) {
        for (std::int64_t v = 0; v < workspace_.planned->packed_vectors; ++v) {
            blocking_.kernels.pack_vector({workspace_.ring, workspace_.offsets, length,
                                           workspace_.copies + v * blocking_.kernels.lanes, workspace_.copy_counts[v],
                                           packed_vector(v)});
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Regions in place: the image's own pixels

    /// The box's first pixel in the group's first channel.
    const T* image_pixels() const {
        const auto [depth, height, width] = shape_.input;
        const std::int64_t pixel = (task_.box.first[0] * height + task_.box.first[1]) * width + task_.box.first[2];
        return reinterpret_cast<const T*>(channel_) + pixel;
    }

    /// Every vector is read where it lies, but for one that is not full: whole, it could reach behind the image's end.
    void place_pixels() {
        const int lanes = blocking_.kernels.lanes;
        const T* pixels = image_pixels();
        for (std::int64_t first = 0; first < pixels_; first += lanes) {
            workspace_.regions[first / lanes] = {pixels + first, workspace_.offsets};
        }
        if (pixels_ % lanes == 0) return;
        workspace_.regions[pixels_ / lanes] = {packed_vector(0), workspace_.packed_offsets};
    }

    void place_channels(std::int64_t depth, std::int64_t length) {
        const std::int64_t stride = arrays_.x.byte_strides[1] / std::int64_t(sizeof(T));
        for (std::int64_t i = 0; i < length; ++i) workspace_.offsets[i] = std::ptrdiff_t((depth + i) * stride);
    }

    void pack_last_pixels(std::int64_t length) {
        const int lanes = blocking_.kernels.lanes;
        const std::int64_t count = pixels_ % lanes;
        if (count == 0) return;
        const T* from = image_pixels() + (pixels_ - count);
        T* to = packed_vector(0);
        for (std::int64_t i = 0; i < length; ++i, to += lanes) {
            std::copy_n(from + workspace_.offsets[i], count, to);
            std::fill(to + count, to + lanes, T(0));
        }
    }

    // -----------------------------------------------------------------------------------------------------------------

    std::ptrdiff_t sums_stride() const { return std::ptrdiff_t(blocking_.vectors * blocking_.kernels.lanes); }

    void multiply_block(std::int64_t depth, std::int64_t length) {
        const bool finishes = !workspace_.sums && depth + length == shape_.depth;
        const Epilogue<T> epilogue = y_.epilogue(0, 0);
        multiply<T>(blocking_.kernels, {{weights_.data + depth, weights_.stride},
                                        task_.rows,
                                        workspace_.regions,
                                        pixels_,
                                        length,
                                        workspace_.sums ? workspace_.sums : y_.row(0),
                                        workspace_.sums ? sums_stride() : y_.row_stride(),
                                        depth > 0,
                                        finishes ? &epilogue : nullptr});
    }

    const PixelBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const PixelWorkspace<T>& workspace_;
    const BandTask task_;
    const std::int64_t pixels_;
    const WeightRows<T> weights_;
    const std::byte* const channel_;  // the first of the group, in the task's image
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
