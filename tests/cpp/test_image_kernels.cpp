// The kernels that read an image where it lies, alone: image and result end where memory does.
#include <doctest/doctest.h>

#include <cmath>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

namespace {

struct Sizes {
    int size, stride;
    std::int64_t rows, cols;  // of the image
};

/// The box of all outputs, with size / 2 pixels of padding on all sides.
ImageBox whole_box(const Sizes& sizes) {
    const std::int64_t pad = sizes.size / 2;
    const auto outputs = [&](std::int64_t n) { return (n - 1) / sizes.stride + 1; };
    return {std::ptrdiff_t(sizes.cols),
            sizes.rows,
            sizes.cols,
            -pad,
            -pad,
            sizes.size,
            sizes.stride,
            outputs(sizes.rows),
            outputs(sizes.cols),
            std::ptrdiff_t(outputs(sizes.cols))};
}

/// add(sum, row of the image, column of it, kernel element) for all that an output of the box meets, in order.
template <typename Number, typename Add>
Number sum_at(const ImageBox& box, std::int64_t row, std::int64_t col, Number sum, const Add& add) {
    for (int k = 0; k < box.size * box.size; ++k) {
        const std::int64_t r = box.first_row + row * box.stride + k / box.size;
        const std::int64_t c = box.first_col + col * box.stride + k % box.size;
        sum = add(sum, r >= 0 && r < box.x_rows && c >= 0 && c < box.x_cols ? r * box.x_row_stride + c : -1, k);
    }
    return sum;
}

template <typename T>
void check_image(const Sizes& sizes, bool transposes, void (*kernel)(const ImageConvolution<T>&)) {
    const int size = sizes.size, stride = sizes.stride;
    const std::int64_t rows = sizes.rows, cols = sizes.cols;
    CAPTURE(size);
    CAPTURE(stride);
    CAPTURE(rows);
    CAPTURE(cols);
    CAPTURE(transposes);
    ImageConvolution<T> image;
    static_cast<ImageBox&>(image) = whole_box(sizes);
    if (transposes) {
        // The image is what the box of the convolution was, and the other way round.
        image.rows = rows * stride, image.cols = cols * stride;
        image.first_row = image.first_col = size / 2;
        image.y_row_stride = std::ptrdiff_t(image.cols);
    }
    image.channels = transposes ? 1 : 3;
    const auto channels = std::size_t(image.channels);
    const auto pixels = std::size_t(rows * cols), taps = std::size_t(size * size);
    const auto outputs = std::size_t(image.rows * image.cols);
    image.x_channel_stride = std::ptrdiff_t(pixels);
    image.y_channel_stride = std::ptrdiff_t(outputs);
    image.weights_stride = std::ptrdiff_t(taps);
    const GuardedMemory<T> x_memory(channels * pixels), weight_memory(channels * taps), y_memory(channels * outputs);
    image.x = x_memory.copy(random_numbers<T>(channels * pixels, 1), channels * pixels);
    image.weights = weight_memory.copy(random_numbers<T>(channels * taps, 2), channels * taps);
    image.y = y_memory.ending(channels * outputs);
    const T bias[] = {T(0.5), T(-1), T(2)};
    const Epilogue<T> epilogue{bias, nullptr, 0, false, 0, 0};
    image.epilogue = &epilogue;
    kernel(image);
    std::vector<T> expected;
    for (std::size_t o = 0; o < channels * outputs; ++o) {
        const std::size_t channel = o / outputs;
        const T* const x = image.x + channel * pixels;
        const T* const weights = image.weights + channel * taps;
        const auto i = std::int64_t(o % outputs), row = i / image.cols, col = i % image.cols;
        T sum = 0;
        if (transposes) {
            for (int k = 0; k < size * size; ++k) {
                const std::int64_t r = row + size / 2 - k / size, c = col + size / 2 - k % size;
                if (r < 0 || c < 0 || r % stride != 0 || c % stride != 0) continue;
                if (r / stride < rows && c / stride < cols) {
                    sum = std::fma(weights[k], x[r / stride * cols + c / stride], sum);
                }
            }
        } else {
            sum = sum_at(image, row, col, sum, [&](T before, std::int64_t at, int k) {
                return at < 0 ? before : std::fma(weights[k], x[at], before);
            });
        }
        expected.push_back(sum + bias[channel]);
    }
    REQUIRE(same_bits(std::vector<T>(image.y, image.y + channels * outputs), expected));
}

}  // namespace

TEST_CASE_TEMPLATE("images are read up to their last pixel, and no further", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        if (!kernels.convolve_image) continue;
        for (const int size : {3, 5, 7}) {
            for (const int stride : {1, 2}) {
                // Small images; strips of every number of vectors; and rows, four at a time, of wide images.
                for (const std::int64_t cols : {5, 7, 8, 16, 33, 66, 224, 241}) {
                    const Sizes sizes{size, stride, cols < 8 ? 7 : cols == 8 ? 8 : 11, cols};
                    if (convolves_images<T>(size, stride)) check_image<T>(sizes, false, kernels.convolve_image);
                    if (transposes_images<T>(size, stride)) check_image<T>(sizes, true, kernels.transpose_image);
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("lines are read up to their last pixel, and no further", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        if (!kernels.convolve_image) continue;
        for (const std::ptrdiff_t step : {1, 5, -3, 40}) {
            for (const std::int64_t cols : {1, 7, 64, 100, 133}) {
                CAPTURE(step);
                CAPTURE(cols);
                constexpr int taps = 3;
                const std::size_t lines = 2, all = lines * std::size_t(cols);
                ImageConvolution<T> image;
                static_cast<ImageBox&>(image) = {std::ptrdiff_t(cols), 2,   cols, 0, -step, taps, 1, 2, cols,
                                                 std::ptrdiff_t(cols), step};
                const GuardedMemory<T> x_memory(all), weight_memory(taps), y_memory(all);
                image.x = x_memory.copy(random_numbers<T>(all, 1), all);
                image.weights = weight_memory.copy(random_numbers<T>(taps, 2), taps);
                image.y = y_memory.ending(all);
                const T bias = T(0.5);
                const Epilogue<T> epilogue{&bias, nullptr, 0, false, 0, 0};
                image.epilogue = &epilogue;
                kernels.convolve_image(image);
                std::vector<T> expected;
                for (std::int64_t o = 0; o < std::int64_t(all); ++o) {
                    T sum = 0;
                    for (int k = 0; k < taps; ++k) {
                        const std::int64_t col = o % cols + (k - 1) * step;
                        const T pixel = col >= 0 && col < cols ? image.x[o / cols * cols + col] : T(0);
                        sum = std::fma(image.weights[k], pixel, sum);
                    }
                    expected.push_back(sum + bias);
                }
                REQUIRE(same_bits(std::vector<T>(image.y, image.y + all), expected));
            }
        }
    }
}

TEST_CASE("images of bytes are read up to their last pixel, and no further") {
    for (const KernelSet* set : usable_kernel_sets()) {
        const ByteKernels& kernels = set->bytes;
        CAPTURE(set->name);
        if (!kernels.convolve_image) continue;
        for (const int size : {3, 5, 7}) {
            for (const int stride : {1, 2}) {
                if (!convolves_images<float>(size, stride)) continue;
                for (const std::int64_t cols : {5, 17, 64, 70, 200}) {
                    CAPTURE(size);
                    CAPTURE(stride);
                    CAPTURE(cols);
                    ByteImageConvolution image{};
                    static_cast<ImageBox&>(image) = whole_box({size, stride, 11, cols});
                    const auto pixels = std::size_t(11 * cols), outputs = std::size_t(image.rows * image.cols);
                    const GuardedMemory<std::uint8_t> x_memory(pixels);
                    const GuardedMemory<std::uint32_t> y_memory(outputs);
                    std::vector<std::uint8_t> numbers;
                    for (std::size_t i = 0; i < pixels; ++i) numbers.push_back(std::uint8_t(i * 37 % 251));
                    const std::uint8_t* const x = image.x = x_memory.copy(numbers, pixels);
                    const int row_words = byte_image_words(size);
                    const auto around = std::size_t(stride * row_words);
                    std::vector<std::uint32_t> words(2 * around + std::size_t(size * row_words));
                    const auto weight = [&](int k) { return k * 29 % 255 - 127; };
                    for (int k = 0; k < size * size; ++k) {
                        words[around + std::size_t(k / size * row_words + k % size / 4)] |=
                            std::uint32_t(std::uint8_t(weight(k))) << (8 * (k % size % 4));
                    }
                    image.weights = words.data() + around;
                    image.outside = 9;
                    const std::uint32_t added = 1000;
                    SumFinish finish{};
                    finish.added = &added;
                    image.finish = &finish;
                    image.sums = y_memory.ending(outputs);
                    kernels.convolve_image(image);
                    for (std::int64_t i = 0; i < image.rows * image.cols; ++i) {
                        const auto sum = sum_at(image, i / image.cols, i % image.cols, 1000,
                                                [&](int before, std::int64_t at, int k) {
                                                    return before + weight(k) * (at < 0 ? 9 : int(x[at]));
                                                });
                        REQUIRE(image.sums[i] == std::uint32_t(sum));
                    }
                }
            }
        }
    }
}
