// One task of a convolution of bytes: one band of output pixels, walked through all of depth, word by word.
#ifndef FLATCONV_CONV_BYTE_PRODUCT_HPP
#define FLATCONV_CONV_BYTE_PRODUCT_HPP

#include "conv/byte_operands.hpp"
#include "conv/padded_channels.hpp"
#include "conv/pixel_blocking.hpp"
#include "conv/placed_vectors.hpp"
#include "im2col/byte_padding.hpp"

namespace flatconv {

using WordBlocking = PixelBlocking<std::uint32_t>;

/// The memory of one participant.
struct ByteWorkspace {
    PixelWorkspace<std::uint32_t> words;
    std::uint32_t* region_sums;  // of each pixel, or null
    std::uint32_t* line;         // a row of y on its way to pixels that are not neighbours

    ByteWorkspace(const WordBlocking& blocking, bool needs_region_sums, Carver& carver) : words(blocking, carver) {
        const auto pixels = std::size_t(blocking.vectors * blocking.kernels.lanes);
        region_sums = needs_region_sums ? carver.take<std::uint32_t>(pixels) : nullptr;
        line = carver.take<std::uint32_t>(pixels);
    }
};

/// The product with lanes across pixels, as in PixelTask; but all sums are kept until the last block of depth, and only
/// then finished.
class ByteTask {
  public:
    /// `blocking` counts channels in words, `channels` in bytes, of a group.
    ByteTask(const WordBlocking& blocking, const ByteKernels& kernels, std::int64_t channels, const ByteCall& call,
             const ConvArrays& arrays, const ByteOperands& operands, const ByteWorkspace& workspace, std::int64_t index)
        : blocking_(blocking),
          kernels_(kernels),
          channels_(channels),
          call_(call),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(blocking.shape, blocking.bands, index),
          first_row_(task_.group * blocking.shape.out_channels + task_.first_row),
          sums_stride_(std::ptrdiff_t(blocking.vectors * blocking.kernels.lanes)) {}

    void run(parallel::Cancellation& cancellation) const {
        const ConvShape& shape = blocking_.shape;
        const PixelWorkspace<std::uint32_t>& words = workspace_.words;
        const ByteStrides& strides = arrays_.x.byte_strides;
        const BytePadding padding(kernels_, blocking_.layout, shape, channels_, task_.box, strides,
                                  call_.inputs.x_type == ByteType::int8, std::uint8_t(call_.inputs.x_zero_point),
                                  words.blocks);
        const auto* channel = static_cast<const std::byte*>(arrays_.x.data) + task_.image * strides[0] +
                              task_.group * channels_ * strides[1];
        PaddedChannels<std::uint32_t, BytePadding> padded(padding, blocking_.layout, shape, channel,
                                                          kernels_.group * strides[1], words.ring, blocking_.ring);
        const PlacedVectors<std::uint32_t> vectors(blocking_, words);
        vectors.place(task_.box);
        std::int64_t depth = 0;
        // Without depth, one empty block still makes sums of 0.
        do {
            if (cancellation.poll()) return;
            const std::int64_t length = std::min(blocking_.block, shape.depth - depth);
            padded.advance(depth, length, words.offsets);
            vectors.pack(length);
            multiply_block(operands_.rows(first_row_), task_.rows, words.sums, depth, length);
            if (workspace_.region_sums) multiply_block(operands_.ones(), 1, workspace_.region_sums, depth, length);
            depth += length;
        } while (depth < shape.depth);
        if (call_.requantization) {
            finish<std::uint8_t>(kernels_.requantize);
        } else {
            finish<std::uint32_t>(kernels_.finish_sums);
        }
    }

  private:
    void multiply_block(const WeightRows<std::uint32_t>& weights, std::int64_t rows, std::uint32_t* sums,
                        std::int64_t depth, std::int64_t length) const {
        multiply<std::uint32_t>(blocking_.kernels, {{weights.data + depth, weights.stride},
                                                    rows,
                                                    workspace_.words.regions,
                                                    task_.box.pixels(),
                                                    length,
                                                    sums,
                                                    sums_stride_,
                                                    depth > 0,
                                                    nullptr});
    }

    /// Brings the sums to y, by lines of pixels that follow each other in y.
    template <typename Y>
    void finish(void (*kernel)(const SumFinish&, Y*, std::ptrdiff_t)) const {
        const ByteStrides& strides = arrays_.y.byte_strides;
        const Extent& size = task_.box.size;
        auto* const y = static_cast<std::byte*>(arrays_.y.data) + task_.image * strides[0] + first_row_ * strides[1];
        // A box is a stretch of the output.
        const bool in_one_line = is_dense(blocking_.shape.output, strides, sizeof(Y));
        const std::int64_t cols = in_one_line ? task_.box.pixels() : size[2];
        SumFinish line = operands_.finish(first_row_);
        line.sums_stride = sums_stride_;
        line.cols = cols;
        for (std::int64_t at = 0; at < task_.box.pixels(); at += cols) {
            const std::int64_t d = at / (size[1] * size[2]), h = at / size[2] % size[1];
            line.sums = workspace_.words.sums + at;
            if (workspace_.region_sums) line.region_sums = workspace_.region_sums + at;
            // The step of an axis that has one pixel may be anything.
            finish_line(kernel, line, in_one_line ? std::int64_t(sizeof(Y)) : strides[4],
                        y + (task_.box.first[0] + d) * strides[2] + (task_.box.first[1] + h) * strides[3] +
                            task_.box.first[2] * strides[4]);
        }
    }

    template <typename Y>
    void finish_line(void (*kernel)(const SumFinish&, Y*, std::ptrdiff_t), SumFinish line, std::int64_t pixel_step,
                     std::byte* y) const {
        const std::int64_t channel_step = arrays_.y.byte_strides[1];
        constexpr std::int64_t bytes = sizeof(Y);
        const bool aligned = (reinterpret_cast<std::uintptr_t>(y) | std::uintptr_t(channel_step)) % alignof(Y) == 0;
        if (aligned && (pixel_step == bytes || line.cols == 1)) {
            line.rows = task_.rows;
            kernel(line, reinterpret_cast<Y*>(y), std::ptrdiff_t(channel_step / bytes));
            return;
        }
        auto* const finished = reinterpret_cast<Y*>(workspace_.line);
        line.rows = 1;
        for (std::int64_t r = 0; r < task_.rows; ++r) {
            kernel(line, finished, 0);
            std::byte* to = y + r * channel_step;
            for (std::int64_t c = 0; c < line.cols; ++c, to += pixel_step) std::memcpy(to, finished + c, sizeof(Y));
            line.sums += line.sums_stride;
            ++line.added;
            if (line.factors) ++line.factors;
            if (line.scales) ++line.scales;
        }
    }

    const WordBlocking& blocking_;
    const ByteKernels& kernels_;
    const std::int64_t channels_;
    const ByteCall& call_;
    const ConvArrays& arrays_;
    const ByteOperands& operands_;
    const ByteWorkspace& workspace_;
    const BandTask task_;
    const std::int64_t first_row_;  // of all groups
    const std::ptrdiff_t sums_stride_;
};

}  // namespace flatconv

#endif
