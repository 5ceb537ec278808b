// The kernels with lanes across the channels of many groups, alone: every number of pixels, every way to their taps.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

TEST_CASE_TEMPLATE("convolve_channelwise computes every width to the bit and writes nothing else", T, float, double) {
    constexpr std::int64_t rows = 3, kernel_rows = 2;
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const std::int64_t lanes = kernels.lanes;
        CAPTURE(set->name);
        for (const std::int64_t columns : {1, 3, 4, 5, 7}) {
            for (const std::int64_t step : {1, 2, 3}) {
                for (std::int64_t cols = 1; cols <= 17; ++cols) {
                    const std::int64_t width = (cols - 1) * step + columns;
                    const std::int64_t positions = (rows + kernel_rows - 1) * width, depth = kernel_rows * columns;
                    const auto band_size = std::size_t(positions * lanes), weight_size = std::size_t(depth * lanes);
                    const GuardedMemory<T> band_memory(band_size), weight_memory(weight_size);
                    const auto band_numbers = random_numbers<T>(band_size, 1);
                    const T* const band = band_memory.copy(band_numbers, band_size);
                    const T* const weights = weight_memory.copy(random_numbers<T>(weight_size, 2), weight_size);
                    std::vector<std::ptrdiff_t> offsets;
                    for (std::int64_t d = 0; d < depth; ++d) {
                        offsets.push_back((d / columns * width + d % columns) * lanes);
                    }
                    const auto before = random_numbers<T>(std::size_t((rows * cols + 1) * lanes), 3);
                    // For each kernel row as another channel: any lane may be read.
                    std::vector<std::int32_t> places;
                    for (std::int64_t i = 0; i < kernel_rows * lanes; ++i) {
                        places.push_back(std::int32_t((i * 5 + i / lanes) % lanes));
                    }
                    const bool can_pick = kernels.picks_channels && columns == 3 && step <= 2;
                    for (const auto& [neighbours, picks] : {std::pair(false, false), {true, false}, {true, true}}) {
                        if (picks && !can_pick) continue;
                        for (const bool accumulate : {false, true}) {
                            std::vector<T> sums = before, expected = before;
                            for (std::int64_t i = 0; i < rows * cols * lanes; ++i) {
                                const std::int64_t lane = i % lanes, c = i / lanes % cols, r = i / lanes / cols;
                                T sum = 0;
                                for (std::int64_t d = 0; d < depth; ++d) {
                                    const std::int64_t from =
                                        picks ? places[std::size_t(d / columns * lanes + lane)] : lane;
                                    sum = std::fma(
                                        weights[d * lanes + lane],
                                        band[(r * width + c * step) * lanes + offsets[std::size_t(d)] + from], sum);
                                }
                                T& at = expected[std::size_t(i)];
                                at = accumulate ? at + sum : sum;
                            }
                            ChannelwisePlane<T> plane;
                            plane.band = band;
                            plane.row_step = width;
                            plane.pixel_step = step;
                            plane.offsets = offsets.data();
                            plane.depth = depth;
                            plane.kernel_columns = neighbours ? columns : 0;
                            plane.weights = weights;
                            plane.weights_stride = std::ptrdiff_t(lanes);
                            plane.rows = rows;
                            plane.cols = cols;
                            plane.sums = sums.data();
                            plane.accumulate = accumulate;
                            plane.taps = columns;
                            plane.places = picks ? places.data() : nullptr;
                            kernels.convolve_channelwise(plane);
                            CAPTURE(columns);
                            CAPTURE(step);
                            CAPTURE(cols);
                            CAPTURE(plane.kernel_columns);
                            CAPTURE(plane.places);
                            CAPTURE(accumulate);
                            REQUIRE(same_bits(sums, expected));
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("spread_pixels brings every number of pixels to their places", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        const std::ptrdiff_t lanes = kernels.lanes;
        CAPTURE(set->name);
        struct Layout {
            std::ptrdiff_t channel_stride, pixel_step;
        };
        for (const Layout& layout : {Layout{40, 1}, Layout{1, 16}, Layout{81, 2}}) {
            for (int channels = 1; channels <= lanes; ++channels) {
                for (std::int64_t pixels = 1; pixels <= 2 * lanes + 3; ++pixels) {
                    const auto size =
                        std::size_t((channels - 1) * layout.channel_stride + (pixels - 1) * layout.pixel_step + 1);
                    const GuardedMemory<T> memory(size);
                    const T* const image = memory.copy(random_numbers<T>(size, 4), size);
                    std::vector<const T*> channel;
                    for (int c = 0; c < channels; ++c) channel.push_back(image + c * layout.channel_stride);
                    std::vector<std::ptrdiff_t> targets(static_cast<std::size_t>(pixels));
                    std::iota(targets.begin(), targets.end(), std::ptrdiff_t(1));
                    std::reverse(targets.begin(), targets.end());
                    for (std::ptrdiff_t& target : targets) target *= lanes;
                    std::vector<T> band = random_numbers<T>(std::size_t((pixels + 2) * lanes), 5), expected = band;
                    for (std::int64_t p = 0; p < pixels; ++p) {
                        for (int lane = 0; lane < lanes; ++lane) {
                            expected[std::size_t(targets[std::size_t(p)] + lane)] =
                                lane < channels ? channel[std::size_t(lane)][p * layout.pixel_step] : T(0);
                        }
                    }
                    kernels.spread_pixels({channel.data(), channels, layout.channel_stride == 1 ? 1 : 0,
                                           layout.pixel_step, pixels, band.data(), targets.data()});
                    CAPTURE(layout.pixel_step);
                    CAPTURE(channels);
                    CAPTURE(pixels);
                    REQUIRE(same_bits(band, expected));
                }
            }
        }
    }
}
