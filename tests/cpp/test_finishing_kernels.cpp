// The kernels that bring finished sums to y, alone: every size of every usable set, with every epilogue.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "conv/definition.hpp"
#include "guarded_memory.hpp"
#include "kernel_sets.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

namespace {

enum Steps { bias_alone, with_residual, with_clamp, with_both };

template <typename T>
T finished(T sum, T bias, const T* residual, const Epilogue<T>& epilogue) {
    sum += bias;
    if (residual) sum += *residual;
    if (epilogue.clamps && !std::isnan(sum)) sum = std::clamp(sum, epilogue.low, epilogue.high);
    return sum;
}

/// Numbers with a NaN, infinities and zeros of both signs among them.
template <typename T>
std::vector<T> exceptional_numbers(std::size_t count, unsigned seed) {
    const T infinity = std::numeric_limits<T>::infinity();
    const T odd_ones[] = {std::numeric_limits<T>::quiet_NaN(), infinity, -infinity, T(0), -T(0)};
    auto numbers = random_numbers<T>(count, seed);
    std::mt19937 random(seed);
    for (T& number : numbers) {
        if (const auto die = random() % 30; die < 5) number = odd_ones[die];
    }
    return numbers;
}

/// The operands of one epilogue, each of which ends where memory does.
template <typename T>
class Operands {
  public:
    Operands(std::size_t most_channels, std::size_t most_elements)
        : bias_numbers_(random_numbers<T>(most_channels, 7)),
          residual_numbers_(exceptional_numbers<T>(most_elements, 8)),
          bias_memory_(most_channels),
          residual_memory_(most_elements) {}

    Epilogue<T> epilogue(Steps steps, std::size_t channels, std::size_t elements, std::ptrdiff_t stride) const {
        const T* const bias = bias_memory_.copy(bias_numbers_, channels);
        const T* const residual = steps & with_residual ? residual_memory_.copy(residual_numbers_, elements) : nullptr;
        return {bias, residual, stride, (steps & with_clamp) != 0, T(-0.5), T(0.75)};
    }

  private:
    std::vector<T> bias_numbers_, residual_numbers_;
    GuardedMemory<T> bias_memory_, residual_memory_;
};

/// Elements from the first to the last of rows that are `stride` apart.
std::size_t extent(std::int64_t rows, std::int64_t cols, std::ptrdiff_t stride) {
    return std::size_t((rows - 1) * stride + cols);
}

}  // namespace

TEST_CASE_TEMPLATE("transpose turns every size, finishes it, and writes nothing else", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const std::int64_t most = 2 * kernels.lanes + 1;
        const std::size_t most_elements = std::size_t(most * (most + 3));
        const GuardedMemory<T> from_memory(most_elements), to_memory(most_elements);
        const auto numbers = exceptional_numbers<T>(most_elements, 9);
        const Operands<T> operands(std::size_t(most), most_elements);
        for (std::int64_t rows = 1; rows <= most; ++rows) {
            // Twice each, the first time with rows that follow each other.
            for (std::int64_t twice = 2; twice < 2 * most + 2; ++twice) {
                const std::int64_t cols = twice / 2;
                const std::ptrdiff_t from_stride = cols + twice % 2 * 2;
                const std::ptrdiff_t to_stride = rows + 3, residual_stride = rows + 1;
                const T* const from = from_memory.copy(numbers, extent(rows, cols, from_stride));
                const auto turned = [&](const auto& element) {
                    std::vector<T> to(extent(cols, rows, to_stride), T(-5));
                    for (std::int64_t c = 0; c < cols; ++c) {
                        for (std::int64_t r = 0; r < rows; ++r) {
                            to[std::size_t(c * to_stride + r)] = element(from[r * from_stride + c], r, c);
                        }
                    }
                    return to;
                };
                const auto turn = [&](const Epilogue<T>* epilogue) {
                    std::vector<T> to(extent(cols, rows, to_stride), T(-5));
                    T* const place = to_memory.copy(to, to.size());
                    kernels.transpose({from, from_stride, rows, cols, place, to_stride, epilogue});
                    std::copy_n(place, to.size(), to.begin());
                    return to;
                };
                CAPTURE(rows);
                CAPTURE(cols);
                CAPTURE(from_stride);
                REQUIRE(same_results(turn(nullptr), turned([](T sum, auto, auto) { return sum; })));
                for (const Steps steps : {bias_alone, with_residual, with_clamp, with_both}) {
                    const auto epilogue = operands.epilogue(steps, std::size_t(cols),
                                                            extent(cols, rows, residual_stride), residual_stride);
                    CAPTURE(steps);
                    REQUIRE(same_results(turn(&epilogue), turned([&](T sum, std::int64_t r, std::int64_t c) {
                                             const T* added = epilogue.residual;
                                             if (added) added += c * residual_stride + r;
                                             return finished(sum, epilogue.bias[c], added, epilogue);
                                         })));
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("finish_rows finishes every size and writes nothing else", T, float, double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const std::int64_t most_rows = 3, most_cols = 3 * kernels.lanes + 1;
        const auto most_elements = std::size_t(most_rows * (most_cols + 3));
        const GuardedMemory<T> from_memory(most_elements), to_memory(most_elements);
        const auto numbers = exceptional_numbers<T>(most_elements, 10);
        const Operands<T> operands(std::size_t(most_cols), most_elements);
        for (std::int64_t rows = 1; rows <= most_rows; ++rows) {
            for (std::int64_t cols = 1; cols <= most_cols; ++cols) {
                const std::ptrdiff_t from_stride = cols + 2, to_stride = cols + 3, residual_stride = cols + 1;
                const T* const from = from_memory.copy(numbers, extent(rows, cols, from_stride));
                for (const Steps steps : {bias_alone, with_residual, with_clamp, with_both}) {
                    const auto epilogue = operands.epilogue(steps, std::size_t(cols),
                                                            extent(rows, cols, residual_stride), residual_stride);
                    std::vector<T> to(extent(rows, cols, to_stride), T(-5)), expected = to;
                    for (std::int64_t r = 0; r < rows; ++r) {
                        for (std::int64_t c = 0; c < cols; ++c) {
                            const T* added = epilogue.residual;
                            if (added) added += r * residual_stride + c;
                            expected[std::size_t(r * to_stride + c)] =
                                finished(from[r * from_stride + c], epilogue.bias[c], added, epilogue);
                        }
                    }
                    T* const place = to_memory.copy(to, to.size());
                    kernels.finish_rows({from, from_stride, rows, cols, place, to_stride, &epilogue});
                    std::copy_n(place, to.size(), to.begin());
                    CAPTURE(rows);
                    CAPTURE(cols);
                    CAPTURE(steps);
                    REQUIRE(same_results(to, expected));
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("interleave makes one matrix of any number, finishes it, and writes nothing else", T, float,
                   double) {
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const std::int64_t rows = 2, lanes = kernels.lanes;
        for (const int count : {1, 2, 3, 4, 5, 8, 16}) {
            for (const std::int64_t cols : {std::int64_t{1}, count * lanes, 2 * count * lanes - 1, 17 * lanes + 1}) {
                CAPTURE(count);
                CAPTURE(cols);
                const std::int64_t whole = round_up((cols + count - 1) / count, lanes);
                const std::ptrdiff_t from_stride = whole + 1, to_stride = cols + 3;
                const std::size_t of_one = extent(rows, whole, from_stride), of_all = extent(rows, cols, to_stride);
                const GuardedMemory<T> from_memory(of_one * std::size_t(count)), to_memory(of_all);
                const auto numbers = exceptional_numbers<T>(of_one * std::size_t(count), 6);
                const T* const from = from_memory.copy(numbers, numbers.size());
                std::vector<const T*> matrices;
                for (int k = 0; k < count; ++k) matrices.push_back(from + std::size_t(k) * of_one);
                const Operands<T> operands(1, of_all);
                const auto interleaved = [&](const Epilogue<T>* epilogue, const auto& finish) {
                    std::vector<T> to(of_all, T(-5)), expected = to;
                    for (std::int64_t r = 0; r < rows; ++r) {
                        for (std::int64_t c = 0; c < cols; ++c) {
                            const T sum = matrices[std::size_t(c % count)][r * from_stride + c / count];
                            expected[std::size_t(r * to_stride + c)] = finish(sum, r * to_stride + c);
                        }
                    }
                    T* const place = to_memory.copy(to, to.size());
                    kernels.interleave(
                        {matrices.data(), count, from_stride, rows, cols, place, to_stride, epilogue, cols % 2 == 0});
                    return same_results(std::vector<T>(place, place + of_all), expected);
                };
                REQUIRE(interleaved(nullptr, [](T sum, std::int64_t) { return sum + T(0); }));
                for (const Steps steps : {bias_alone, with_residual, with_clamp, with_both}) {
                    CAPTURE(steps);
                    auto epilogue = operands.epilogue(steps, 1, of_all, to_stride);
                    REQUIRE(interleaved(&epilogue, [&](T sum, std::int64_t at) {
                        return finished(sum, epilogue.bias[0], epilogue.residual ? epilogue.residual + at : nullptr,
                                        epilogue);
                    }));
                    epilogue.curve = Curve::leaky_relu;
                    epilogue.slope = T(0.125);
                    REQUIRE(interleaved(&epilogue, [&](T sum, std::int64_t at) {
                        sum = finished(sum, epilogue.bias[0], epilogue.residual ? epilogue.residual + at : nullptr,
                                       epilogue);
                        return sum < 0 ? sum * epilogue.slope : sum;
                    }));
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("curves are the definition's, for every size, and nothing else is written", T, float, double) {
    constexpr std::pair<Curve, Activation> curves[] = {{Curve::leaky_relu, {Activation::leaky_relu, 0.125}},
                                                       {Curve::sigmoid, {Activation::sigmoid}},
                                                       {Curve::tanh, {Activation::tanh}},
                                                       {Curve::silu, {Activation::silu}},
                                                       {Curve::gelu, {Activation::gelu}},
                                                       {Curve::hardswish, {Activation::hardswish}}};
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        const std::int64_t rows = 3, most_cols = 3 * kernels.lanes + 1;
        const auto most_elements = std::size_t(rows * (most_cols + 3));
        const GuardedMemory<T> memory(most_elements);
        auto numbers = exceptional_numbers<T>(most_elements, 11);
        for (std::size_t i = 0; i < numbers.size(); i += 2) numbers[i] *= T(40);
        for (const auto& each : curves) {
            const Curve curve = each.first;
            const Activation& activation = each.second;
            CAPTURE(int(curve));
            for (std::int64_t cols = 1; cols <= most_cols; ++cols) {
                const std::ptrdiff_t stride = cols + 2;
                std::vector<T> expected(numbers.begin(), numbers.begin() + std::ptrdiff_t(extent(rows, cols, stride)));
                T* const place = memory.copy(expected, expected.size());
                for (std::size_t i = 0; i < expected.size(); ++i) {
                    if (std::int64_t(i) % stride < cols) expected[i] = activated(activation, expected[i]);
                }
                kernels.bend({place, stride, rows, cols, curve, T(activation.a)});
                CAPTURE(cols);
                REQUIRE(same_results(std::vector<T>(place, place + expected.size()), expected));
            }
        }
    }
}

TEST_CASE_TEMPLATE("a bound of zero has the sign that the reference gives it", T, float, double) {
    const T zeros[] = {T(0), -T(0)};
    for (const KernelSet* set : usable_kernel_sets()) {
        const Kernels<T>& kernels = kernels_of<T>(*set);
        CAPTURE(set->name);
        for (const T low : zeros) {
            for (const T high : zeros) {
                for (const T sum : {T(-1), T(0), T(1)}) {
                    const T bias = 0;
                    T to = T(-5);
                    const Epilogue<T> epilogue{&bias, nullptr, 0, true, low, high};
                    kernels.finish_rows({&sum, 1, 1, 1, &to, 1, &epilogue});
                    // A sum of zero is +0 and lies between any zeros.
                    const bool negative = sum < 0 ? std::signbit(low) : sum > 0 ? std::signbit(high) : false;
                    CHECK(to == T(0));
                    CHECK(std::signbit(to) == negative);
                }
            }
        }
    }
}
