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
          plane_vectors_(ceil_div(blocking.layout.position_at(0, grid_task_.box.size[1] - 1, grid_task_.box.size[2]),
                                  blocking.kernels.lanes)),
          y_(shape_, with_outputs(), arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) {
        if (workspace_.weights && !*workspace_.has_weights) pack_weights();
        pad_pixels();
        for (std::int64_t row = 0; row < task_.rows; row += blocking_.strip) {
            if (cancellation.poll()) return;
            const std::int64_t channels = std::min(blocking_.strip, task_.rows - row);
            multiply_strip(row, channels);
            for (std::int64_t r = 0; r < channels; ++r) finish(row + r, r);
        }
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

    /// The sums of all phases of some output channels, from `row` on.
    void multiply_strip(std::int64_t row, std::int64_t channels) const {
        const std::ptrdiff_t* offsets = workspace_.offsets;
        for (const PhaseRows& pattern : blocking_.patterns) {
            const std::int64_t taps = pattern.first.taps(), depth = blocking_.depth_of(pattern);
            const T* const weights = weights_of_channel(pattern, row);
            for (std::int64_t done = 0; done < depth; done += depth_block) {
                const std::int64_t vectors =
                    place(workspace_.pixels + done / taps * blocking_.pixel_stride, offsets + done % taps);
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
    std::int64_t place(const T* pixels, const std::ptrdiff_t* offsets) const {
        VectorOperand<T>* region = workspace_.regions;
        for (std::int64_t d = 0; d < grid_task_.box.size[0]; ++d) {
            const T* const plane = pixels + blocking_.layout.position_at(d, 0, 0);
            for (std::int64_t v = 0; v < plane_vectors_; ++v) {
                *region++ = {plane + v * blocking_.kernels.lanes, offsets};
            }
        }
        return region - workspace_.regions;
    }

    /// Interleaves the phases of a channel, line by line.
    void finish(std::int64_t row, std::int64_t strip_row) const {
        const PixelBox& box = task_.box;
        const bool finishes = workspace_.row == nullptr || blocking_.half_y;
        std::fill_n(workspace_.bias, InterleavedWorkspace<T>::bias_length, y_.epilogue(row, 0).bias[0]);
        for (std::int64_t d = 0; d < box.size[0]; ++d) {
            for (std::int64_t h = 0; h < box.size[1]; ++h) {
                const T* const line = interleave(strip_row, box.first[0] + d, box.first[1] + h);
                if (workspace_.row) {
                    T* const to = workspace_.row + (d * box.size[1] + h) * box.size[2];
                    finishes ? finish_line(line, row, 0, to) : void(std::copy_n(line, box.size[2], to));
                } else {
                    const std::int64_t at = (d * shape_.output[1] + h) * shape_.output[2];
                    finish_line(line, row, at, y_.row(row) + at);
                }
            }
        }
        if (!workspace_.row) return;
        if (blocking_.half_y) {
            y_.store_rows(blocking_.kernels, row, 1, workspace_.row, std::ptrdiff_t(box.pixels()),
                          std::ptrdiff_t(box.size[2]));
        } else {
            y_.scatter(blocking_.kernels, row, workspace_.row, std::ptrdiff_t(box.size[2]));
        }
    }

    /// A line of the box's outputs, which lie in the plane `d` and the row `h` of y.
    const T* interleave(std::int64_t strip_row, std::int64_t d, std::int64_t h) const {
        const auto tap = [&](std::int64_t output, std::size_t axis) {
            return (output + shape_.pad_before[axis]) % shape_.stride[axis];
        };
        const auto pixel = [&](std::int64_t output, std::size_t axis) {
            return (output + shape_.pad_before[axis]) / shape_.stride[axis] - blocking_.first_pixel(shape_, axis) -
                   grid_task_.box.first[axis];
        };
        const std::int64_t at =
            pixel(d, 0) * plane_vectors_ * blocking_.kernels.lanes + blocking_.layout.position_at(0, pixel(h, 1), 0);
        const T* from[InterleavedBlocking<T>::most_phases];
        for (std::int64_t w = 0; w < shape_.stride[2]; ++w) {
            from[w] = phase_sums({tap(d, 0), tap(h, 1), w}, strip_row);
            from[w] = from[w] ? from[w] + at : workspace_.zeros;
        }
        blocking_.kernels.interleave({from, int(shape_.stride[2]), grid_task_.box.size[2], workspace_.line});
        return workspace_.line + tap(task_.box.first[2], 2);
    }

    /// Those of the phase with these first taps, if it has some.
    const T* phase_sums(const Extent& tap, std::int64_t strip_row) const {
        std::size_t index = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const std::int64_t phases = std::min(shape_.stride[axis], shape_.kernel[axis]);
            if (tap[axis] >= phases) return nullptr;
            index = index * std::size_t(phases) + std::size_t(tap[axis]);
        }
        const PhaseRow& place = blocking_.rows[index];
        const PhaseRows& pattern = blocking_.patterns[place.pattern];
        return sums_of(pattern) + (strip_row * pattern.phases + place.index) * blocking_.sums_stride;
    }

    /// `pixel` is that of the line's first output, counted from the box's first.
    void finish_line(const T* line, std::int64_t row, std::int64_t pixel, T* to) const {
        constexpr std::int64_t at_once = InterleavedWorkspace<T>::bias_length;
        Epilogue<T> part = y_.epilogue(row, pixel);
        // What is added first is a vector here, to pixels instead of channels.
        part.bias = workspace_.bias;
        const std::int64_t width = task_.box.size[2];
        for (std::int64_t w = 0; w < width; w += at_once) {
            blocking_.kernels.finish_rows({line + w, 0, 1, std::min(at_once, width - w), to + w, 0, &part});
            if (part.residual) part.residual += at_once;
        }
    }

    const InterleavedBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const InterleavedWorkspace<T>& workspace_;
    const BandTask grid_task_;
    BandTask task_;                     // the same, of y
    const std::int64_t plane_vectors_;  // lines of a plane are one, together with what lies between them in the band
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
