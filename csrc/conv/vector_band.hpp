// A box of the image as a band of which each position is a vector of channels: for channels that are convolved each for
// itself, and for the gradients of their weights.
#ifndef FLATCONV_CONV_VECTOR_BAND_HPP
#define FLATCONV_CONV_VECTOR_BAND_HPP

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "im2col/padded_band.hpp"

namespace flatconv {

/// How the channels of x come into such bands.
template <typename T>
struct VectorBandPlan {
    VectorBandPlan(const PlanRequest& request, const ConvShape& band_shape, const Extent& box)
        : kernels(kernels_of<T>(*request.kernels)),
          half(halves_of_x<T>(request)),
          shape(band_shape),
          layout(band_shape, box),
          spreads(can_spread(request)) {}

    const Kernels<T>& kernels;
    const HalfKernels<T>* const half;  // that x holds, or null
    const ConvShape shape;
    const BandLayout layout;  // of pixels, each of which is a vector of channels
    const bool spreads;       // pixels go from the image straight to their places in the band

    std::int64_t band_elements() const { return layout.channel_length() * kernels.lanes; }

    static bool can_spread(const PlanRequest& request) {
        return (request.x_aligned || halves_of_x<T>(request)) && request.shape.padding_mode == PaddingMode::zeros;
    }

    /// `shape` with a position for every coordinate along the axes where a stride leaves no gaps: the pixels of its
    /// bands are those at a distance.
    static ConvShape without_gaps(ConvShape shape) {
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            if (shape.kernel[axis] >= shape.stride[axis] && shape.dilation[axis] == 1) shape.stride[axis] = 1;
        }
        return shape;
    }
};

/// The memory of one participant.
template <typename T>
struct VectorBandMemory {
    ImageBlock* blocks;       // of the image in a band
    T* bands;                 // each a vector of channels for each position
    std::ptrdiff_t* targets;  // in a band, of the pixels of all blocks
    const T** channel;        // of the image, for each lane
    T* planes;                // a padded channel for each lane, or its pixels that were halves; or null

    VectorBandMemory(const VectorBandPlan<T>& plan, std::int64_t band_count, Carver& carver)
        : blocks(carver.take<ImageBlock>(std::size_t(plan.layout.most_image_blocks()))),
          bands(carver.take<T>(std::size_t(band_count * plan.band_elements()))),
          targets(carver.take<std::ptrdiff_t>(std::size_t(plan.layout.channel_length()))),
          channel(carver.take<const T*>(std::size_t(plan.kernels.lanes))),
          planes(plan.spreads && !plan.half ? nullptr : carver.take<T>(std::size_t(plan.band_elements()))) {}
};

/// One box after the other on their way into bands.
template <typename T>
class VectorBand {
  public:
    /// For `band_count` bands. `strides` are those of x, in bytes.
    VectorBand(const VectorBandPlan<T>& plan, const VectorBandMemory<T>& memory, std::int64_t band_count,
               const ByteStrides& strides)
        : plan_(plan), memory_(memory), band_count_(band_count), strides_(strides) {}

    /// Zeroes the bands, and finds out which of their positions have a pixel of the image: the same for all channels,
    /// and for boxes that differ only in where they lie inside the image.
    void place(const PixelBox& box) {
        const bool as_before = is_as_before(box);
        box_ = box;
        block_count_ = 0;
        if (plan_.spreads) place_image(!as_before);
        for (std::int64_t band = 0; !as_before && band < band_count_; ++band) {
            zero_padding(memory_.bands + band * plan_.band_elements());
        }
    }

    /// Brings so many channels, whose first pixels are at channel_of(c), to a band; its other lanes are zeros. `alone`
    /// tells that each is another channel of x, one after the other. So many `known` rows of the band are there
    /// already, which it may be told if it spreads.
    template <typename ChannelOf>
    void bring(std::int64_t channels, bool alone, const ChannelOf& channel_of, T* band, std::int64_t known = 0) const {
        if (plan_.spreads) {
            spread(channels, alone, channel_of, band, known);
        } else {
            pad(channels, channel_of, band);
        }
    }

  private:
    bool is_as_before(const PixelBox& box) const {
        if (box.size != box_.size) return false;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            if (box.first[axis] != box_.first[axis] && !(is_inside(box, axis) && is_inside(box_, axis))) return false;
        }
        return true;
    }

    /// Whether a box meets no padding before or after the image.
    bool is_inside(const PixelBox& box, std::size_t axis) const {
        const ConvShape& shape = plan_.shape;
        const std::int64_t first = box.first[axis] * shape.stride[axis] - shape.pad_before[axis];
        const std::int64_t span =
            (box.size[axis] - 1) * shape.stride[axis] + (shape.kernel[axis] - 1) * shape.dilation[axis];
        return first >= 0 && first + span < shape.input[axis];
    }

    /// Of several blocks, what lies between them, too: all of it.
    void zero_padding(T* band) const {
        const auto zero = [&](std::int64_t begin, std::int64_t end) {
            const std::int64_t lanes = plan_.kernels.lanes;
            std::memset(band + begin * lanes, 0, std::size_t((end - begin) * lanes) * sizeof(T));
        };
        std::int64_t zeroed = 0;
        if (block_count_ == 1) {
            const ImageBlock& block = memory_.blocks[0];
            for (std::int64_t r = 0; r < block.rows; ++r) {
                const std::int64_t row = block.to + r * block.to_stride;
                zero(zeroed, row);
                zeroed = row + block.cols;
            }
        }
        zero(zeroed, plan_.layout.channel_length());
    }

    void place_image(bool anew) {
        // Halves are found by bytes, all else by elements.
        const auto unit = std::int64_t(plan_.half ? 1 : sizeof(T));
        const Extent steps{strides_[2] / unit, strides_[3] / unit, strides_[4] / unit};
        const std::ptrdiff_t lanes = plan_.kernels.lanes;
        block_count_ = plan_.layout.image_blocks(plan_.shape, steps, box_, memory_.blocks);
        std::ptrdiff_t* target = memory_.targets;
        for (std::int64_t b = 0; b < block_count_; ++b) {
            const ImageBlock& block = memory_.blocks[b];
            for (std::int64_t r = 0; anew && r < block.rows; ++r) {
                std::ptrdiff_t place = (block.to + r * block.to_stride) * lanes;
                for (std::ptrdiff_t* const end = target + block.cols; target != end; place += lanes) *target++ = place;
            }
        }
    }

    template <typename ChannelOf>
    void spread(std::int64_t channels, bool alone, const ChannelOf& channel_of, T* band, std::int64_t known) const {
        PixelSpread<T> spread;
        spread.channel = memory_.channel;
        spread.channels = int(channels);
        const auto bytes = std::int64_t(plan_.half ? half_bytes : sizeof(T));
        spread.channels_step = alone && strides_[1] == bytes ? 1 : 0;
        spread.to = band;
        const std::ptrdiff_t* targets = memory_.targets;
        const std::int64_t band_cols = plan_.layout.position_at(0, 1, 0);
        for (std::int64_t b = 0; b < block_count_; ++b) {
            ImageBlock block = memory_.blocks[b];
            // What the layout has joined to one row is rows again, of which some may be known.
            if (block.cols > band_cols) {
                block.rows = block.cols / band_cols;
                block.cols = band_cols;
            }
            const std::int64_t begin = std::clamp<std::int64_t>(known - block.to / band_cols, 0, block.rows);
            spread.targets = targets + begin * block.cols;
            targets += block.rows * block.cols;
            block.rows -= begin;
            block.from += std::ptrdiff_t(begin * block.from_stride);
            if (block.rows == 0) continue;
            // Rows that follow each other in the image are one row.
            if (block.from_stride == block.cols * block.from_step) block.cols *= std::exchange(block.rows, 1);
            if (plan_.half) {
                widen(block, channels, channel_of, spread);
                plan_.kernels.spread_pixels(spread);
                continue;
            }
            spread.pixel_step = block.from_step;
            spread.pixels = block.cols;
            for (std::int64_t c = 0; c < channels; ++c) {
                memory_.channel[c] = reinterpret_cast<const T*>(channel_of(c)) + block.from;
            }
            for (std::int64_t r = 0; r < block.rows; ++r) {
                plan_.kernels.spread_pixels(spread);
                spread.targets += block.cols;
                if (r + 1 == block.rows) break;
                for (std::int64_t c = 0; c < channels; ++c) memory_.channel[c] += block.from_stride;
            }
        }
    }

    /// Reads the pixels of a block, which are halves, to be spread from where they are floats.
    template <typename ChannelOf>
    void widen(const ImageBlock& block, std::int64_t channels, const ChannelOf& channel_of,
               PixelSpread<T>& spread) const {
        const std::int64_t pixels = block.rows * block.cols, lanes = plan_.kernels.lanes;
        T* to = memory_.planes;
        spread.pixels = pixels;
        spread.pixel_step = std::ptrdiff_t(spread.channels_step == 1 ? lanes : 1);
        memory_.channel[0] = to;
        for (std::int64_t r = 0; spread.channels_step == 1 && r < block.rows; ++r, to += block.cols * lanes) {
            plan_.half->widen({channel_of(0) + block.from + r * block.from_stride, block.from_step, half_bytes,
                               block.cols, channels, to, std::ptrdiff_t(lanes)});
        }
        for (std::int64_t c = 0; spread.channels_step != 1 && c < channels; ++c, to += pixels) {
            plan_.half->widen({channel_of(c) + block.from, block.from_stride, block.from_step, block.rows, block.cols,
                               to, std::ptrdiff_t(block.cols)});
            memory_.channel[c] = to;
        }
    }

    /// The same from anything that the padded image may be made of.
    template <typename ChannelOf>
    void pad(std::int64_t channels, const ChannelOf& channel_of, T* band) const {
        const std::int64_t length = plan_.layout.channel_length();
        for (std::int64_t c = 0; c < channels; ++c) {
            plan_.layout.pad_channel(plan_.kernels, plan_.half, plan_.shape, channel_of(c),
                                     {strides_[2], strides_[3], strides_[4]}, box_, memory_.planes + c * length);
        }
        plan_.kernels.transpose({memory_.planes, std::ptrdiff_t(length), channels, length, band,
                                 std::ptrdiff_t(plan_.kernels.lanes), nullptr});
    }

    const VectorBandPlan<T>& plan_;
    const VectorBandMemory<T>& memory_;
    const std::int64_t band_count_;
    const ByteStrides& strides_;
    PixelBox box_{};
    std::int64_t block_count_ = 0;
};

}  // namespace flatconv

#endif
