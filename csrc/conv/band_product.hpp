// One task of the blocked product: one band of output pixels, walked through all of depth.
#ifndef FLATCONV_CONV_BAND_PRODUCT_HPP
#define FLATCONV_CONV_BAND_PRODUCT_HPP

#include <algorithm>
#include <cstring>

#include "conv/algorithm.hpp"
#include "conv/gemm_blocking.hpp"
#include "gemm/gemm.hpp"
#include "im2col/region_vectors.hpp"

namespace flatconv {

/// Per block of depth, `run` pads the channels that are new, packs the vectors of regions that must be, and multiplies.
/// Padded channels live in a ring just large enough for one block, so that each is padded once for each band.
template <typename T>
class BandProduct {
  public:
    BandProduct(const GemmBlocking<T>& blocking, const ConvArrays& arrays, const Runtime& runtime,
                const GemmWorkspace<T>& workspace, WeightRows<T> weights, const T* bias)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          runtime_(runtime),
          workspace_(workspace),
          weights_(weights),
          bias_(bias) {}

    void run(std::int64_t task) {
        locate(task);
        place_output();
        if (blocking_.in_place) {
            place_pixels();
        } else {
            place_vectors();
        }
        std::int64_t depth = 0;
        // Without depth, one empty block still writes the bias.
        do {
            if (runtime_.cancellation.poll()) return;
            const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
            if (blocking_.in_place) {
                place_channels(depth, length);
                pack_last_pixels(length);
            } else {
                pad_channels(ceil_div(depth + length, shape_.taps));
                place_taps(depth, length);
                pack_vectors(length);
            }
            multiply(depth, length);
            depth += length;
        } while (depth < shape_.depth);
    }

  private:
    void locate(std::int64_t task) {
        const BandPlan& bands = blocking_.bands;
        const std::int64_t part = task % bands.row_parts;
        task /= bands.row_parts;
        const std::int64_t group = task % shape_.groups;
        task /= shape_.groups;
        image_ = task % shape_.batch;
        box_index_ = task / shape_.batch;
        box_ = bands.at(shape_, box_index_);
        first_channel_ = group * shape_.in_channels;
        first_row_ = group * shape_.out_channels + part * bands.rows;
        rows_ = std::min(bands.rows, shape_.out_channels - part * bands.rows);
        pixels_ = box_.pixels();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // The output

    void place_output() {
        const ByteStrides& strides = arrays_.y.byte_strides;
        y_ = {static_cast<std::byte*>(arrays_.y.data) + image_ * strides[0] + first_row_ * strides[1] +
                  box_.first[0] * strides[2] + box_.first[1] * strides[3] + box_.first[2] * strides[4],
              strides[1], nullptr};
        if (is_consecutive(strides)) return;
        y_.pixel_at = workspace_.pixel_at;
        if (workspace_.planned->pixel_at == box_index_) return;
        workspace_.planned->pixel_at = box_index_;
        std::int64_t* at = workspace_.pixel_at;
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                for (std::int64_t w = 0; w < box_.size[2]; ++w) {
                    *at++ = d * strides[2] + h * strides[3] + w * strides[4];
                }
            }
        }
    }

    /// Whether the box's pixels are consecutive elements of y.
    bool is_consecutive(const ByteStrides& strides) const {
        if (reinterpret_cast<std::uintptr_t>(y_.data) % alignof(T) != 0) return false;
        return is_dense(box_.size, strides, sizeof(T)) && (rows_ == 1 || strides[1] % std::int64_t(sizeof(T)) == 0);
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Regions

    /// Decides for every vector of pixels whether it is read where it lies, in the ring.
    void place_vectors() {
        PlannedBoxes& planned = *workspace_.planned;
        if (planned.regions == box_index_) return;
        planned.regions = box_index_;
        const int lanes = blocking_.kernels.lanes;
        place_packed_offsets();
        std::int64_t packed = 0;
        for (std::int64_t first = 0; first < pixels_; first += lanes) {
            PixelCopy* copies = workspace_.copies + packed * lanes;
            const int copy_count =
                plan_vector(blocking_.layout, box_, first, std::min<std::int64_t>(lanes, pixels_ - first), copies);
            RegionVector<T>& region = workspace_.regions[first / lanes];
            if (copy_count == 1 && blocking_.packing == Packing::crossing) {
                region = {workspace_.ring + copies[0].source, workspace_.offsets};
            } else {
                workspace_.copy_counts[packed] = copy_count;
                region = {packed_vector(packed++), workspace_.packed_offsets};
            }
        }
        planned.packed_vectors = packed;
    }

    void place_packed_offsets() {
        for (std::int64_t d = 0; d < blocking_.block; ++d) {
            workspace_.packed_offsets[d] = d * blocking_.kernels.lanes;
        }
    }

    T* packed_vector(std::int64_t index) const { return workspace_.packed + index * blocking_.packed_stride; }

    void pack_vectors(std::int64_t length) {
        for (std::int64_t v = 0; v < workspace_.planned->packed_vectors; ++v) {
            blocking_.kernels.pack_vector({workspace_.ring, workspace_.offsets, length,
                                           workspace_.copies + v * blocking_.kernels.lanes, workspace_.copy_counts[v],
                                           packed_vector(v)});
        }
    }

    T* ring_slot(std::int64_t channel) const {
        return workspace_.ring + channel % blocking_.ring * blocking_.layout.channel_length();
    }

    const std::byte* image() const {
        return static_cast<const std::byte*>(arrays_.x.data) + image_ * arrays_.x.byte_strides[0];
    }

    void pad_channels(std::int64_t end) {
        const ByteStrides& strides = arrays_.x.byte_strides;
        for (; padded_channels_ < end; ++padded_channels_) {
            blocking_.layout.pad_channel(shape_, image() + (first_channel_ + padded_channels_) * strides[1],
                                         {strides[2], strides[3], strides[4]}, box_, ring_slot(padded_channels_));
        }
    }

    void place_taps(std::int64_t depth, std::int64_t length) {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        std::int64_t channel = depth / shape_.taps, tap = depth % shape_.taps;
        std::int64_t kd = tap / (kernel_h * kernel_w), kh = tap / kernel_w % kernel_h, kw = tap % kernel_w;
        for (std::int64_t i = 0; i < length;) {
            const T* row = ring_slot(channel) + blocking_.layout.tap_at(kd, kh, 0);
            AxisBand::Walk in_row = blocking_.layout.walk_kernel_row(kw);
            for (; kw < kernel_w && i < length; ++kw, ++i, in_row.next()) {
                workspace_.offsets[i] = row - workspace_.ring + std::ptrdiff_t(in_row.at());
            }
            kw = 0;
            if (++kh < kernel_h) continue;
            kh = 0;
            if (++kd < kernel_d) continue;
            kd = 0;
            ++channel;
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Regions in place: the image's own pixels

    /// The box's first pixel in the group's first channel.
    const T* image_pixels() const {
        const auto [depth, height, width] = shape_.input;
        const std::int64_t pixel = (box_.first[0] * height + box_.first[1]) * width + box_.first[2];
        return reinterpret_cast<const T*>(image() + first_channel_ * arrays_.x.byte_strides[1]) + pixel;
    }

    /// Every vector is read where it lies, but for one that is not full: whole, it could reach behind the image's end.
    void place_pixels() {
        const int lanes = blocking_.kernels.lanes;
        const T* pixels = image_pixels();
        for (std::int64_t first = 0; first < pixels_; first += lanes) {
            workspace_.regions[first / lanes] = {pixels + first, workspace_.offsets};
        }
        if (pixels_ % lanes == 0) return;
        place_packed_offsets();
        workspace_.regions[pixels_ / lanes] = {packed_vector(0), workspace_.packed_offsets};
    }

    void place_channels(std::int64_t depth, std::int64_t length) {
        const std::int64_t stride = arrays_.x.byte_strides[1] / std::int64_t(sizeof(T));
        for (std::int64_t i = 0; i < length; ++i) workspace_.offsets[i] = (depth + i) * stride;
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

    void multiply(std::int64_t depth, std::int64_t length) {
        const bool last = depth + length == shape_.depth;
        multiply_block<T>(blocking_.kernels, {{weights_.data + first_row_ * weights_.stride + depth, weights_.stride},
                                              rows_,
                                              workspace_.regions,
                                              pixels_,
                                              length,
                                              y_,
                                              depth > 0,
                                              last && bias_ ? bias_ + first_row_ : nullptr,
                                              workspace_.scratch});
    }

    const GemmBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Runtime& runtime_;
    const GemmWorkspace<T>& workspace_;
    const WeightRows<T> weights_;
    const T* const bias_;

    std::int64_t image_ = 0;
    std::int64_t box_index_ = 0;
    PixelBox box_{};
    std::int64_t first_channel_ = 0;
    std::int64_t first_row_ = 0;
    std::int64_t rows_ = 0;
    std::int64_t pixels_ = 0;
    std::int64_t padded_channels_ = 0;
    OutputBand<T> y_{};
};

}  // namespace flatconv

#endif
