// The kernel for channels that are the innermost axis, each convolved for itself, alone: every number of channels, and
// nothing read or written beside them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

TEST_CASE_TEMPLATE("convolve_columns computes every number of channels and writes nothing else", T, float, double) {
    constexpr std::int64_t rows = 3, gap = 2;  // between the channels of two pixels of y
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        if (!kernels.convolve_columns) continue;
        CAPTURE(set->name);
        const std::int64_t lanes = kernels.lanes, panel = kernels.panel_vectors * lanes;
        for (const int size : {3, 5, 7}) {
            for (const int stride : {1, 2}) {
                if (!convolves_images<T>(size, stride)) continue;
                const std::int64_t columns = channel_columns(size), width = (columns - 1) * stride + size;
                const std::int64_t met = (rows - 1 + (size + stride - 1) / stride) * stride, depth = size * size;
                for (std::int64_t channels = 1; channels <= panel + lanes + 1; ++channels) {
                    for (const bool finishes : {false, true}) {
                        CAPTURE(size);
                        CAPTURE(stride);
                        CAPTURE(channels);
                        CAPTURE(finishes);
                        // Every position ends where memory does, and so do bias, residual and weights.
                        const auto x_size = std::size_t(met * width * channels);
                        const GuardedMemory<T> x_memory(x_size);
                        const T* const x = x_memory.copy(random_numbers<T>(x_size, 1), x_size);
                        std::vector<const T*> positions;
                        for (std::int64_t i = met * width; i > 0; --i) positions.push_back(x + (i - 1) * channels);
                        const std::int64_t padded = (channels + lanes - 1) / lanes * lanes;
                        const auto weight_size = std::size_t(padded * depth);
                        const GuardedMemory<T> weight_memory(weight_size),
                            bias_memory(static_cast<std::size_t>(channels));
                        const T* const weights = weight_memory.copy(random_numbers<T>(weight_size, 2), weight_size);
                        const T* const bias =
                            bias_memory.copy(random_numbers<T>(std::size_t(channels), 3), std::size_t(channels));
                        const std::int64_t step = channels + gap, y_size = rows * columns * step - gap;
                        const GuardedMemory<T> y_memory(static_cast<std::size_t>(y_size)),
                            residual_memory(static_cast<std::size_t>(y_size));
                        const auto before = random_numbers<T>(std::size_t(y_size), 4);
                        const T* const residual =
                            residual_memory.copy(random_numbers<T>(std::size_t(y_size), 5), std::size_t(y_size));
                        T* const y = y_memory.copy(before, std::size_t(y_size));
                        constexpr T infinity = std::numeric_limits<T>::infinity();
                        const Epilogue<T> epilogue{bias,     finishes ? residual : nullptr, std::ptrdiff_t(step),
                                                   finishes, finishes ? T(-1) : -infinity,  finishes ? T(1) : infinity};
                        std::vector<T> expected = before;
                        for (std::int64_t i = 0; i < rows * columns * channels; ++i) {
                            const std::int64_t c = i % channels, col = i / channels % columns,
                                               r = i / channels / columns;
                            const std::int64_t in_panel = c % panel, begin = c - in_panel;
                            const std::int64_t panel_width = std::min(panel, padded - begin);
                            T sum = 0;
                            for (std::int64_t d = 0; d < depth; ++d) {
                                const std::int64_t at = (r * stride + d / size) * width + col * stride + d % size;
                                sum = std::fma(weights[begin * depth + d * panel_width + in_panel],
                                               positions[std::size_t(at)][c], sum);
                            }
                            const std::int64_t to = (r * columns + col) * step + c;
                            sum += bias[c];
                            if (finishes) sum = std::clamp(sum + residual[to], T(-1), T(1));
                            expected[std::size_t(to)] = sum;
                        }
                        ChannelColumns<T> call;
                        call.positions = positions.data();
                        call.size = size;
                        call.stride = stride;
                        call.rows = rows;
                        call.channels = channels;
                        call.weights = weights;
                        call.y = y;
                        call.y_row_stride = call.residual_row_stride = std::ptrdiff_t(columns * step);
                        call.y_pixel_stride = std::ptrdiff_t(step);
                        call.epilogue = &epilogue;
                        kernels.convolve_columns(call);
                        REQUIRE(same_bits(std::vector<T>(y, y + y_size), expected));
                    }
                }
            }
        }
    }
}
