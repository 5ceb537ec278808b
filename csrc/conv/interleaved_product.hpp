// One task of the interleaved product: a box of the pixels that first taps read, all phases of it, some output channels
// at a time.
#ifndef FLATCONV_CONV_INTERLEAVED_PRODUCT_HPP
#define FLATCONV_CONV_INTERLEAVED_PRODUCT_HPP

#include <algorithm>

#include "conv/interleaved_blocking.hpp"
#include "conv/output_band.hpp"
#include "im2col/channel_padding.hpp"

namespace flatconv {

template <typename T>
class InterleavedTask {
  public:
    InterleavedTask(const InterleavedBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                    const InterleavedWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          workspace_(workspace),
          grid_task_(blocking.grid, blocking.bands, index),
          task_(grid_task_),
          y_(shape_, with_outputs(), arrays, operands, blocking.half_y),
          passes_caches_(!workspace.row && y_.passes_caches()) {}

    void run(parallel::Cancellation& cancellation) {
        if (workspace_.weights && !*workspace_.has_weights) pack_weights();
        pad_pixels();
        const PixelBox& box = grid_task_.box;
        for (std::int64_t row = 0; row < task_.rows; row += blocking_.strip) {
            const std::int64_t channels = std::min(blocking_.strip, task_.rows - row);
            for (std::int64_t d = 0; d < box.size[0]; d += blocking_.part[0]) {
                for (std::int64_t h = 0; h < box.size[1]; h += blocking_.part[1]) {
                    if (cancellation.poll()) return;
                    const PixelBox part{{box.first[0] + d, box.first[1] + h, box.first[2]},
                                        {std::min(blocking_.part[0], box.size[0] - d),
                                         std::min(blocking_.part[1], box.size[1] - h), box.size[2]}};
                    multiply_strip(row, channels, part);
                    if (!workspace_.row) finish(row, 0, channels, part);
                    // Then the part is the box, and the memory is that of one channel.
                    for (std::int64_t r = 0; workspace_.row && r < channels; ++r) {
                        finish(row + r, r, 1, part);
                        bring(row + r);
                    }
                }
            }
        }
        if (passes_caches_) y_.finish_streams();
    }

  private:
    const BandTask& with_outputs() {
        task_.box = blocking_.outputs_of(grid_task_.box);
        return task_;
    }

    /// Of all groups, for all tasks of the participant.
    void pack_weights() const {
        T* to = workspace_.weights;
        std::size_t index = 0;
        for_each_phase(transposed(shape_), [&](const Phase& phase) {
            const PhaseRow place = blocking_.rows[index++];
            const PhaseRows& pattern = blocking_.patterns[place.pattern];
            const std::ptrdiff_t stride = blocking_.row_stride(pattern);
            const WeightSizes sizes = weight_sizes(phase.shape_of(transposed(shape_)));
            const ConstArray weight = weights_of(phase, arrays_.weight);
            T* const first = to + rows_before(pattern) + place.index * stride;
            for (std::int64_t row = 0; row < sizes.rows(); ++row) {
                pack_row(blocking_.half_rows, sizes, weight, row, first + row * pattern.phases * stride);
            }
        });
        *workspace_.has_weights = true;
    }

    /// Elements of the patterns before this one.
    std::int64_t rows_before(const PhaseRows& pattern) const {
        std::int64_t elements = 0;
        for (const PhaseRows* each = blocking_.patterns.data(); each != &pattern; ++each) {
            elements += shape_.groups * shape_.out_channels * each->phases * blocking_.row_stride(*each);
        }
        return elements;
    }

    void pad_pixels() const {
        const PixelBox box = blocking_.pixels_of(grid_task_.box);
        const ChannelPadding<T> padding(blocking_.kernels, blocking_.half_x, blocking_.layout, blocking_.band_shape,
                                        box, arrays_.x.byte_strides, blocking_.x_aligned, workspace_.blocks);
        bool inside = true;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            inside &= box.first[axis] >= 0 && box.first[axis] + box.size[axis] <= shape_.input[axis];
        }
        const std::byte* const image =
            static_cast<const std::byte*>(arrays_.x.data) + task_.image * arrays_.x.byte_strides[0];
        for (std::int64_t c = 0; c < shape_.in_channels; ++c) {
            const std::int64_t of_all = task_.group * shape_.in_channels + c;
            padding.pad(image + shape_.channel_at(arrays_.x.byte_strides[1], of_all, sizeof(T)),
                        workspace_.pixels + c * blocking_.pixel_stride, !inside, c);
        }
    }

    T* sums_of(const PhaseRows& pattern) const {
        return workspace_.sums + pattern.before * blocking_.strip * blocking_.sums_stride;
    }

    const T* weights_of_channel(const PhaseRows& pattern, std::int64_t row) const {
        const std::int64_t channel = task_.group * shape_.out_channels + task_.first_row + row;
        const T* const first = arrays_.packed ? reinterpret_cast<const T*>(arrays_.packed[pattern.packed_part].rows)
                                              : workspace_.weights + rows_before(pattern);
        return first + channel * pattern.phases * blocking_.row_stride(pattern);
    }

    /// The sums of all phases of some output channels, from `row` on, for a part of the grid. Lines of a plane are one,
    /// together with what lies between them in the band.
    void multiply_strip(std::int64_t row, std::int64_t channels, const PixelBox& part) const {
        const std::ptrdiff_t* offsets = workspace_.offsets;
        for (const PhaseRows& pattern : blocking_.patterns) {
            const std::int64_t taps = pattern.first.taps(), depth = blocking_.depth_of(pattern);
            const T* const weights = weights_of_channel(pattern, row);
            for (std::int64_t done = 0; done < depth; done += depth_block) {
                const std::int64_t vectors =
                    place(workspace_.pixels + done / taps * blocking_.pixel_stride, offsets + done % taps, part);
                multiply<T>(blocking_.kernels, {{weights + done, blocking_.row_stride(pattern)},
                                                channels * pattern.phases,
                                                workspace_.regions,
                                                vectors * blocking_.kernels.lanes,
                                                std::min(depth_block, depth - done),
                                                sums_of(pattern),
                                                std::ptrdiff_t(blocking_.sums_stride),
                                                done > 0,
                                                nullptr});
            }
            offsets += depth_block + taps;
        }
    }

    /// Every vector is read where it lies. Returns their number.
    std::int64_t place(const T* pixels, const std::ptrdiff_t* offsets, const PixelBox& part) const {
        const Extent& first = grid_task_.box.first;
        const std::int64_t plane_vectors = vectors_of_plane(part);
        VectorOperand<T>* region = workspace_.regions;
        for (std::int64_t d = 0; d < part.size[0]; ++d) {
            const T* const plane =
                pixels + blocking_.layout.position_at(part.first[0] - first[0] + d, part.first[1] - first[1], 0);
            for (std::int64_t v = 0; v < plane_vectors; ++v) {
                *region++ = {plane + v * blocking_.kernels.lanes, offsets};
            }
        }
        return region - workspace_.regions;
    }

    std::int64_t vectors_of_plane(const PixelBox& part) const {
        return ceil_div(blocking_.layout.position_at(0, part.size[1] - 1, part.size[2]), blocking_.kernels.lanes);
    }

    /// The sums of phases whose columns take turns in some lines of a channel.
    struct Turns {
        const T* from[InterleavedBlocking<T>::most_phases];        // of the strip's first channel
        std::ptrdiff_t step[InterleavedBlocking<T>::most_phases];  // to the next one's
    };

    /// Interleaves the phases of some channels of the strip, on their way to y.
    void finish(std::int64_t row, std::int64_t strip_row, std::int64_t channels, const PixelBox& part) const {
        const PixelBox outputs = blocking_.outputs_of(part);
        const std::int64_t lines_apart = shape_.stride[1];
        const std::int64_t plane = outputs.first[0] - task_.box.first[0], line = outputs.first[1] - task_.box.first[1];
        for (std::int64_t d = plane; d < plane + outputs.size[0]; ++d) {
            for (std::int64_t h = 0; h < std::min(lines_apart, outputs.size[1]); ++h) {
                const Turns turns = turns_of(part, {d, line + h, 0});
                const std::int64_t lines = ceil_div(outputs.size[1] - h, lines_apart);
                for (std::int64_t r = 0; r < channels; ++r) {
                    interleave(turns, strip_row + r, lines, d, line + h, row + r);
                }
            }
        }
    }

    /// Of the lines of outputs that are like this one, in the box.
    Turns turns_of(const PixelBox& part, const Extent& output) const {
        Extent tap, pixel;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t stride = shape_.stride[axis];
            const std::int64_t padded = task_.box.first[axis] + output[axis] + shape_.pad_before[axis];
            tap[axis] = padded % stride;
            pixel[axis] = padded / stride - blocking_.first_pixel(shape_, axis) - part.first[axis];
        }
        const std::int64_t at = pixel[0] * vectors_of_plane(part) * blocking_.kernels.lanes +
                                blocking_.layout.position_at(0, pixel[1], pixel[2]);
        // The first output may be of any phase. Where it is not of the first, those before it read the pixel after its.
        Turns turns;
        for (std::int64_t w = 0, next = 0; w < shape_.stride[2]; ++w) {
            const PhaseRow* const place = row_of(tap);
            const PhaseRows* const pattern = place ? &blocking_.patterns[place->pattern] : nullptr;
            turns.from[w] =
                pattern ? sums_of(*pattern) + place->index * blocking_.sums_stride + at + next : workspace_.zeros;
            turns.step[w] = pattern ? std::ptrdiff_t(pattern->phases * blocking_.sums_stride) : 0;
            if (++tap[2] < shape_.stride[2]) continue;
            tap[2] = 0;
            next = 1;
        }
        return turns;
    }

    /// The phase with these first taps, if it has some.
    const PhaseRow* row_of(const Extent& tap) const {
        std::size_t index = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t phases = std::min(shape_.stride[axis], shape_.kernel[axis]);
            if (tap[axis] >= phases) return nullptr;
            index = index * std::size_t(phases) + std::size_t(tap[axis]);
        }
        return &blocking_.rows[index];
    }

    /// So many lines of the channel `row`, from the line `h` of the box's plane `d` on.
    void interleave(const Turns& turns, std::int64_t strip_row, std::int64_t lines, std::int64_t d, std::int64_t h,
                    std::int64_t row) const {
        const T* from[InterleavedBlocking<T>::most_phases];
        for (std::int64_t w = 0; w < shape_.stride[2]; ++w) from[w] = turns.from[w] + strip_row * turns.step[w];
        const Extent& all = workspace_.row ? task_.box.size : shape_.output;
        const std::int64_t at = (d * all[1] + h) * all[2];
        const Epilogue<T> epilogue = y_.epilogue(row, workspace_.row ? 0 : at);
        blocking_.kernels.interleave({from, int(shape_.stride[2]),
                                      std::ptrdiff_t(blocking_.layout.position_at(0, 1, 0)), lines, task_.box.size[2],
                                      (workspace_.row ? workspace_.row : y_.row(row)) + at,
                                      std::ptrdiff_t(shape_.stride[1] * all[2]),
                                      workspace_.row && !blocking_.half_y ? nullptr : &epilogue, passes_caches_});
    }

    /// Takes a channel from the memory of its outputs to y.
    void bring(std::int64_t row) const {
        const PixelBox& box = task_.box;
        if (blocking_.half_y) {
            y_.store_rows(blocking_.kernels, row, 1, workspace_.row, std::ptrdiff_t(box.pixels()),
                          std::ptrdiff_t(box.size[2]));
        } else {
            y_.scatter(blocking_.kernels, row, workspace_.row, std::ptrdiff_t(box.size[2]));
        }
    }

    const InterleavedBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const InterleavedWorkspace<T>& workspace_;
    const BandTask grid_task_;
    BandTask task_;  // the same, of y
    const OutputBand<T> y_;
    const bool passes_caches_;
};

}  // namespace flatconv

#endif
