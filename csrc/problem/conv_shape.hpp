// ConvProblem, checked and made uniform: what every room behind the public entry works with.
#ifndef FLATCONV_PROBLEM_CONV_SHAPE_HPP
#define FLATCONV_PROBLEM_CONV_SHAPE_HPP

#include <flatconv/flatconv.hpp>

namespace flatconv {

/// A valid problem: all amounts resolved, sizes known to fit, always three spatial axes (absent ones have size 1).
struct ConvShape {
    std::int64_t batch;
    std::int64_t groups;
    std::int64_t in_channels;   // in one group
    std::int64_t out_channels;  // in one group
    /// Real numbers in an element of x and y, which are neighbours in memory: 2 if it is complex. Everything behind the
    /// public entry is about real numbers, and each part of a complex channel is a channel by itself, also in
    /// `in_channels` and `out_channels`.
    std::int64_t parts = 1;
    Extent input;
    Extent kernel;
    Extent output;
    Extent stride;
    Extent dilation;
    Extent pad_before;
    PaddingMode padding_mode;
    /// The kernel's elements lie on the image from last to first: tap k reads what tap (kernel - 1 - k) of the axis
    /// would, while weights and depth keep their order. A transposed convolution is made of such ones, and the array of
    /// weights is that of the convolution which it transposes: (groups · in, out of a group, kernel).
    bool mirrored = false;

    std::int64_t taps;    // elements of the kernel
    std::int64_t pixels;  // output positions of one image
    std::int64_t depth;   // in_channels * taps: the length of the sums

    /// A kernel of one element that visits every pixel once.
    bool reads_pixels_as_they_are() const {
        return taps == 1 && stride == Extent{1, 1, 1} && pad_before == Extent{0, 0, 0} && output == input;
    }

    /// How far a channel lies from the first one, in bytes: `distance` leads from one element to that of the next
    /// channel, and a real number has `bytes`.
    std::int64_t channel_at(std::int64_t distance, std::int64_t channel, std::int64_t bytes) const {
        return parts == 1 ? channel * distance : channel / parts * distance + channel % parts * bytes;
    }

    bool empty() const { return batch == 0 || out_channels == 0 || pixels == 0; }
};

/// The longest dilated kernel along one axis. Nothing longer has a use, and every coordinate stays far from overflow.
inline constexpr std::int64_t max_kernel_extent = (std::int64_t{1} << 31) - 1;

/// Checks the whole problem, every size included, and describes it. The shape of a transposed problem is that of the
/// convolution which it transposes: its `input` is what the problem writes, its `output` what the problem reads.
Status make_shape(const ConvProblem& problem, ConvShape& shape);

/// The same with the stride as it was given, also where there is but one output and no step is taken: which kernel
/// elements may reach a pixel depends on it.
Status make_adjoint_shape(const ConvProblem& problem, ConvShape& shape);

/// The same for a layer whose batch and input are not known yet: everything else is checked.
Status make_layer_shape(const ConvProblem& problem, ConvShape& shape);

/// The same for the region matrix alone: channels are one group, outputs do not matter.
Status make_region_shape(const ConvProblem& problem, std::int64_t bytes_per_element, ConvShape& shape);

/// The strides of a dense array of the given sizes, (batch, channel, spatial...).
ByteStrides dense_strides(std::int64_t channels, const Extent& spatial, std::int64_t bytes) noexcept;

/// Whether the elements of a box of these spatial sizes are consecutive, in row-major order.
bool is_dense(const Extent& spatial, const ByteStrides& strides, std::int64_t bytes) noexcept;

/// Whether arrays hold numbers of 16 bits, which are converted on their way: nothing of them is used where it lies.
inline bool is_half(DType dtype) noexcept { return dtype == DType::float16 || dtype == DType::bfloat16; }

/// The other real ones are computed with in double.
inline bool computes_in_float(DType dtype) noexcept { return dtype == DType::float32 || is_half(dtype); }

inline bool is_complex(DType dtype) noexcept { return dtype == DType::complex64 || dtype == DType::complex128; }

/// The type of the real numbers that an element consists of.
inline DType real_dtype(DType dtype) noexcept {
    return dtype == DType::complex64 ? DType::float32 : dtype == DType::complex128 ? DType::float64 : dtype;
}

inline std::int64_t element_bytes(DType dtype) noexcept {
    const DType real = real_dtype(dtype);
    return (is_half(real) ? 2 : real == DType::float32 ? 4 : 8) * (is_complex(dtype) ? 2 : 1);
}

}  // namespace flatconv

#endif
