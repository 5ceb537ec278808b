// Shapes whose kernel lies mirrored, which no public call makes: every algorithm against the convolution with turned
// weights, exactly.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "kernel_sets.hpp"
#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

/// Small integers, whose sums are exact in any order.
std::vector<float> random_integers(std::int64_t count, std::mt19937& random) {
    std::vector<float> numbers(static_cast<std::size_t>(count));
    for (float& number : numbers) number = float(int(random() % 17) - 8);
    return numbers;
}

/// The kernels of all channels, from their last element to their first.
std::vector<float> turned(const std::vector<float>& weight, std::int64_t taps) {
    std::vector<float> result = weight;
    for (auto kernel = result.begin(); kernel != result.end(); kernel += taps) std::reverse(kernel, kernel + taps);
    return result;
}

/// The same weights in the order (groups · in, out of a group, kernel).
std::vector<float> in_before_out(const std::vector<float>& weight, const ConvShape& shape) {
    const std::int64_t in = shape.in_channels, out = shape.out_channels, taps = shape.taps;
    std::vector<float> result(weight.size());
    for (std::int64_t row = 0; row < shape.groups * out; ++row) {
        for (std::int64_t c = 0; c < in; ++c) {
            const std::int64_t place = (row / out * in + c) * out + row % out;
            std::copy_n(weight.begin() + (row * in + c) * taps, taps, result.begin() + place * taps);
        }
    }
    return result;
}

}  // namespace

TEST_CASE("a mirrored kernel is a turned one, for every algorithm and kernel set") {
    std::mt19937 random(7);
    for (int round = 0; round < 40; ++round) {
        const ConvProblem problem = random_problem(random);
        const Sizes sizes = sizes_of(problem);
        const auto x = random_integers(sizes.x, random), weight = random_integers(sizes.weight, random);
        const auto turned_weight = turned(weight, product(problem.kernel));
        std::vector<float> expected(std::size_t(sizes.y));
        Options options;
        options.algorithm = Algorithm::reference;
        REQUIRE(conv(problem, {x.data(), turned_weight.data()}, expected.data(), options));
        for (const KernelSet* set : usable_kernel_sets()) {
            for (const Algorithm algorithm : all_algorithms) {
                PlanRequest request{};
                REQUIRE(make_shape(problem, request.shape));
                request.shape.mirrored = true;
                request.dtype = problem.dtype;
                request.kernels = set;
                request.threads = request.participants = 1 + round % 3;
                // The products read the weights that a transposed convolution has; the reference those of a layer,
                // which are packed into rows.
                const bool in_rows = algorithm == Algorithm::reference;
                request.weights = in_rows ? WeightForm::rows : WeightForm::strided;
                request.x_aligned = request.x_pixels_dense = request.y_in_rows = true;
                std::unique_ptr<ConvPlan> plan;
                REQUIRE(choose(request, algorithm, std::numeric_limits<std::size_t>::max(), plan));
                std::vector<float> y(expected.size(), std::numeric_limits<float>::quiet_NaN());
                const ConvShape& shape = request.shape;
                const auto stamps = in_before_out(weight, shape);
                ByteStrides strides = dense_strides(in_rows ? shape.in_channels : shape.out_channels, shape.kernel, 4);
                if (!in_rows) std::swap(strides[0], strides[1]);
                const ConvArrays arrays{
                    {x.data(), dense_strides(problem.in_channels, shape.input, 4)},
                    {in_rows ? weight.data() : stamps.data(), strides},
                    {},
                    {},
                    {y.data(), dense_strides(problem.out_channels, shape.output, 4)},
                    nullptr,
                };
                parallel::Cancellation cancellation;
                const AlignedBuffer workspace(plan->workspace_bytes());
                plan->run(arrays, Runtime{parallel::shared_pool(), cancellation}, workspace.data());
                CAPTURE(round);
                CAPTURE(set->name);
                CAPTURE(int(algorithm));
                REQUIRE(same_bits(y, expected));
            }
        }
    }
}
