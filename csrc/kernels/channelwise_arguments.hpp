// The contract of the kernels for channels that are convolved each for itself; a part of kernels/kernel_set.hpp.
#ifndef FLATCONV_KERNELS_CHANNELWISE_ARGUMENTS_HPP
#define FLATCONV_KERNELS_CHANNELWISE_ARGUMENTS_HPP

#include <stddef.h>
#include <stdint.h>

namespace flatconv {

template <typename T>
struct Epilogue;
struct SumFinish;

/// A box of the output of one channel, convolved with a kernel of its own: size × size elements, with the same stride
/// along both axes. The image is read where it lies.
struct ImageBox {
    ptrdiff_t x_row_stride;
    int64_t x_rows, x_cols;
    /// Where the kernel lies for the box's first output. On either side it reaches at most size - 1 columns beyond the
    /// image. Of a transpose: where the box's first output lies in the padded one, of which hardly any columns lie
    /// behind those that the image's pixels reach.
    int64_t first_row, first_col;
    int size, stride;  // such as convolves_images, or transposes_images, allows
    int64_t rows, cols;
    ptrdiff_t y_row_stride;
    /// Not 0: each row is a line by itself, and so is the kernel, whose `size` elements meet pixels so far apart from
    /// the first one's on, at any distance beyond the line's ends; the stride is 1.
    ptrdiff_t tap_step = 0;
};

/// With zeros around the image.
template <typename T>
struct ImageConvolution : ImageBox {
    const T* x;  // the first channel's first pixel; it stands for a half, and so does y, to kernels of such images
    const T* weights;
    T* y;
    const Epilogue<T>* epilogue;
    ptrdiff_t residual_row_stride;
    bool finite = false;  // the weights are known to be: their products with rows of zeros may be left out
    /// Of a convolution, which may be that of several channels; the residual has a stride of its own.
    int64_t channels = 1;
    ptrdiff_t x_channel_stride = 0, weights_stride = 0, y_channel_stride = 0;
};

/// Images whose convolution has as many rows and columns, at least and at most, are small ones, where the kernel keeps
/// them in registers.
inline constexpr int least_small_side = 5, small_side = 8;

/// Padded alike on all sides, up to the last pixel.
constexpr bool is_small_image(const ImageBox& box) {
    const bool padded =
        box.tap_step == 0 && box.first_row == -(box.size / 2) && box.first_col == -(box.size / 2) && box.size < 7;
    const auto fits = [&](int64_t side, int64_t x_side) {
        return side >= least_small_side && side <= small_side && (x_side - 1) / box.stride + 1 == side;
    };
    return padded && fits(box.rows, box.x_rows) && fits(box.cols, box.x_cols) && box.x_row_stride == box.x_cols &&
           box.y_row_stride == box.cols;
}

/// Those of them that read images of halves where they lie.
constexpr bool convolves_halves(int64_t size) { return size == 3; }

/// Kernels of layers that exist: in double, few do.
template <typename T>
constexpr bool convolves_images(int64_t size, int64_t stride) {
    if (size == 3) return stride == 1 || stride == 2;
    return sizeof(T) == sizeof(float) && ((size == 5 && (stride == 1 || stride == 2)) || (size == 7 && stride == 1));
}

/// Those whose transpose is computed so, too.
template <typename T>
constexpr bool transposes_images(int64_t size, int64_t stride) {
    return sizeof(T) == sizeof(float) && size == 3 && (stride == 1 || stride == 2);
}

/// Of bytes, with `outside` around the image; all bits xor `flip`, and then unsigned. The weights are words of four
/// signed neighbours in a kernel row, byte_image_words(size) for each row; those beyond its end are 0, and so are the
/// words of `stride` rows before the first and behind the last.
struct ByteImageConvolution : ImageBox {
    const uint8_t* x;
    uint8_t outside, flip;
    const uint32_t* weights;
    const SumFinish* finish;  // of one output channel, without region sums; what is `added` to sums, and what follows
    uint32_t* sums;           // or null
    uint8_t* y;               // then this
};

constexpr int byte_image_words(int size) { return (size + 3) / 4; }

/// Some pixels of a vector of channels on their way into a band of which each pixel is such a vector: pixel p goes to
/// to + targets[p]. Lanes without a channel become zeros.
template <typename T>
struct PixelSpread {
    const T* const* channel;  // where the first pixel of each of them lies
    int channels;
    ptrdiff_t channels_step;  // 1: they are neighbours. 0: they lie anywhere
    ptrdiff_t pixel_step;
    int64_t pixels;
    T* to;
    const ptrdiff_t* targets;
};

/// Rows of pixels, each a vector of channels that are convolved each for itself, or in groups. In the band a position
/// is such a vector, and so is a pixel in `sums`, whose rows follow each other.
template <typename T>
struct ChannelwisePlane {
    const T* band;
    int64_t row_step, pixel_step;  // from a row or a pixel to the next, in positions of the band
    const ptrdiff_t* offsets;      // where each depth finds the first pixel, in elements
    int64_t depth;
    int64_t kernel_columns;  // depth is rows of so many neighbouring positions; or 0, for anything
    const T* weights;        // a vector for each depth
    ptrdiff_t weights_stride;
    int64_t rows, cols;
    T* sums;
    bool accumulate;  // they hold the sums of the earlier depth blocks
    /// Where channels are convolved in groups, the depths of each of a group's channels, and, channel by channel, the
    /// lane of a position that each lane of the sums reads; else null.
    int64_t taps = 0;
    const int32_t* places = nullptr;
};

/// Some neighbouring columns of the output, all channels of each pixel, convolved each for itself: the channels of a
/// pixel are neighbours in x and y, and are read and written where they lie. With kernels of size × size elements, and
/// the same stride along both axes.
template <typename T>
struct ChannelColumns {
    /// Where the first channel of each position lies that the columns meet, one row of the image after the other: of
    /// the first row of pixels' first kernel row, and of (rows - 1) · stride more, then of size rounded up to strides.
    const T* const* positions;
    int size, stride;  // such as convolves_images allows
    int64_t rows;      // channel_columns(size) pixels in each
    int64_t channels;
    const T* weights;  // panels
    T* y;
    ptrdiff_t y_row_stride, y_pixel_stride;
    const Epilogue<T>* epilogue;  // of output channels; its residual_stride is that of pixels
    ptrdiff_t residual_row_stride;
};

/// As many as there are registers for where each has a sum for each kernel row that waits for the others; of the
/// largest kernels, which do not wait, so many that sums do not wait for themselves.
constexpr int channel_columns(int64_t size) { return size == 5 ? 4 : 7; }

/// The gradients of kernel elements whose groups have one channel or a few, for a vector of these: each sum goes on
/// over some rows of output positions. In the band a position is a vector of channels.
template <typename T>
struct ChannelwiseGradient {
    const T* band;
    ptrdiff_t row_step, column_step;  // from a row of positions, and from a position, to the next in the band
    const ptrdiff_t* offsets;         // what each kernel element meets at the first position, in the band
    int64_t taps;
    int64_t kernel_columns;  // these are rows of so many neighbouring positions; or 0, for anything
    const T* dy;             // a vector for each position, row after row
    int64_t rows, cols;
    T* block;     // the sums of a block of positions, which begins here or goes on: a vector for each kernel element
    T* sums;      // which they are added to where the block ends; else null
    bool begins;  // the block
    bool accumulates;  // `sums` has those of the blocks before
};

}  // namespace flatconv

#endif
