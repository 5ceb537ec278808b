// One task of the product with lanes across pixels: one band of output pixels, walked through all of depth.
#ifndef FLATCONV_CONV_PIXEL_PRODUCT_HPP
#define FLATCONV_CONV_PIXEL_PRODUCT_HPP

#include <cstdint>

#include "conv/output_band.hpp"
#include "conv/padded_channels.hpp"
#include "conv/pixel_blocking.hpp"
#include "conv/placed_vectors.hpp"

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
          vectors_(blocking, workspace),
          task_(shape_, blocking.bands, index),
          pixels_(task_.box.pixels()),
          weights_{operands.weights.data + first_row() * operands.weights.stride, operands.weights.stride},
          channel_(static_cast<const std::byte*>(arrays.x.data) + task_.image * arrays.x.byte_strides[0] +
                   shape_.channel_at(arrays.x.byte_strides[1], task_.group * shape_.in_channels, sizeof(T))),
          head_(blocking.in_place ? pixels_before_line() : 0),
          y_(shape_, task_, arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) { run(padding(), cancellation); }

    const PixelBox& box() const { return task_.box; }

    ChannelPadding<T> padding() const {
        return {blocking_.kernels,      blocking_.half_x,    blocking_.layout,  shape_,           task_.box,
                arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks, workspace_.placed};
    }

    /// With `padding()`, or another way to fill the ring, also with smaller elements, of which kernels make T.
    template <typename Padding>
    void run(const Padding& padding, parallel::Cancellation& cancellation) {
        using Element = typename Padding::Element;
        PaddedChannels<Element, Padding> padded(padding, blocking_.layout, shape_, channel_, arrays_.x.byte_strides[1],
                                                reinterpret_cast<Element*>(workspace_.ring), blocking_.ring);
        if (blocking_.in_place) {
            place_pixels();
        } else {
            vectors_.place(task_.box);
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
                vectors_.pack(length);
            }
            multiply_block(depth, length);
            depth += length;
        } while (depth < shape_.depth);
        if (!workspace_.sums || blocking_.half_y) return;
        for (std::int64_t r = 0; r < task_.rows; ++r) {
            y_.scatter(blocking_.kernels, r, workspace_.sums + r * sums_stride(), std::ptrdiff_t(task_.box.size[2]));
        }
    }

  private:
    std::int64_t first_row() const { return task_.group * shape_.out_channels + task_.first_row; }

    // -----------------------------------------------------------------------------------------------------------------
    // Regions in place: the image's own pixels

    /// The box's first pixel in the group's first channel.
    const T* image_pixels() const {
        const auto [depth, height, width] = shape_.input;
        const std::int64_t pixel = (task_.box.first[0] * height + task_.box.first[1]) * width + task_.box.first[2];
        return reinterpret_cast<const T*>(channel_) + pixel;
    }

    /// Tiles of few rows wait for their loads. Where lines of the caches begin at the same pixels in all channels, no
    /// line is loaded twice if vectors begin there as well: so many pixels go before them, in a vector of their own.
    std::int64_t pixels_before_line() const {
        constexpr std::int64_t most_rows = 4;
        const std::int64_t lanes = blocking_.kernels.lanes, vector_bytes = lanes * std::int64_t(sizeof(T));
        if (task_.rows > most_rows || pixels_ <= 4 * lanes || arrays_.x.byte_strides[1] % vector_bytes != 0) return 0;
        const auto misplaced = std::int64_t(reinterpret_cast<std::uintptr_t>(image_pixels())) % vector_bytes;
        return misplaced == 0 ? 0 : lanes - misplaced / std::int64_t(sizeof(T));
    }

    /// Every vector is read where it lies, but for one that is not full: whole, it could reach behind the image's end.
    void place_pixels() {
        const int lanes = blocking_.kernels.lanes;
        const T* const pixels = image_pixels();
        VectorOperand<T>* region = workspace_.regions;
        if (head_ > 0) *region++ = {pixels, workspace_.offsets};
        for (std::int64_t first = head_; first < pixels_; first += lanes)
            *region++ = {pixels + first, workspace_.offsets};
        if ((pixels_ - head_) % lanes == 0) return;
        region[-1] = {vectors_.packed(0), workspace_.packed_offsets};
    }

    void place_channels(std::int64_t depth, std::int64_t length) {
        const std::int64_t stride = arrays_.x.byte_strides[1] / std::int64_t(sizeof(T));
        for (std::int64_t i = 0; i < length; ++i) workspace_.offsets[i] = std::ptrdiff_t((depth + i) * stride);
    }

    void pack_last_pixels(std::int64_t length) {
        const int lanes = blocking_.kernels.lanes;
        const std::int64_t count = (pixels_ - head_) % lanes;
        if (count == 0) return;
        const T* from = image_pixels() + (pixels_ - count);
        T* to = vectors_.packed(0);
        for (std::int64_t i = 0; i < length; ++i, to += lanes) {
            std::copy_n(from + workspace_.offsets[i], count, to);
            std::fill(to + count, to + lanes, T(0));
        }
    }

    // -----------------------------------------------------------------------------------------------------------------

    std::ptrdiff_t sums_stride() const { return std::ptrdiff_t(blocking_.vectors * blocking_.kernels.lanes); }

    void multiply_block(std::int64_t depth, std::int64_t length) {
        const bool last = depth + length == shape_.depth;
        T* const y = workspace_.sums ? workspace_.sums : y_.row(0);
        if (!blocking_.half_y || !last) {
            return multiply_rows(0, task_.rows, depth, length, y, last && !workspace_.sums);
        }
        // A strip of rows at a time is rounded, while it is in the first-level cache. If it was begun here, too, all
        // strips have the same memory.
        const std::int64_t strip = even_tile(task_.rows, blocking_.kernels.tile_rows);
        const bool on_the_way = y_.finishes_on_the_way();
        for (std::int64_t row = 0; row < task_.rows; row += strip) {
            const std::int64_t rows = std::min(strip, task_.rows - row);
            T* const sums = depth == 0 ? y : y + row * sums_stride();
            multiply_rows(row, rows, depth, length, sums, !on_the_way);
            y_.store_rows(blocking_.kernels, row, rows, sums, sums_stride(), std::ptrdiff_t(task_.box.size[2]),
                          on_the_way);
        }
    }

    /// `to` is that of the first row.
    void multiply_rows(std::int64_t row, std::int64_t rows, std::int64_t depth, std::int64_t length, T* to,
                       bool finishes) {
        if (head_ > 0) multiply_pixels(0, head_, workspace_.regions, row, rows, depth, length, to, finishes);
        multiply_pixels(head_, pixels_ - head_, workspace_.regions + (head_ > 0 ? 1 : 0), row, rows, depth, length, to,
                        finishes);
    }

    void multiply_pixels(std::int64_t pixel, std::int64_t count, const VectorOperand<T>* regions, std::int64_t row,
                         std::int64_t rows, std::int64_t depth, std::int64_t length, T* to, bool finishes) {
        const Epilogue<T> epilogue = y_.epilogue(row, pixel);
        multiply<T>(blocking_.kernels,
                    {{weights_.data + row * weights_.stride + blocking_.words(depth), weights_.stride},
                     rows,
                     regions,
                     count,
                     blocking_.words(length),
                     to + pixel,
                     workspace_.sums ? sums_stride() : y_.row_stride(),
                     depth > 0,
                     finishes ? &epilogue : nullptr});
    }

    const PixelBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const PixelWorkspace<T>& workspace_;
    const PlacedVectors<T> vectors_;
    const BandTask task_;
    const std::int64_t pixels_;
    const WeightRows<T> weights_;
    const std::byte* const channel_;  // the first of the group, in the task's image
    const std::int64_t head_;         // pixels before the first line of the caches, or 0
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
