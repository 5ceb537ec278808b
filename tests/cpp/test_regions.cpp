// im2col, unfold and their adjoints against their definition, element by element; adjointness, sizes, null pointers,
// cancellation.
#include <doctest/doctest.h>
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "kernel_sets.hpp"
#include "problem/padding.hpp"

using namespace flatconv;
using namespace flatconv::tests;

namespace {

constexpr PaddingMode modes[] = {PaddingMode::zeros, PaddingMode::reflect, PaddingMode::replicate,
                                 PaddingMode::circular, PaddingMode::symmetric};

constexpr std::int64_t wild = std::numeric_limits<std::int64_t>::max();

std::int64_t product(const Extent& sizes) { return sizes[0] * sizes[1] * sizes[2]; }

Extent output_of(const ConvProblem& problem) {
    Extent output{};
    REQUIRE(output_size(problem, output));
    return output;
}

/// The definition of the region matrix: for each of its elements, the pixel of a dense x, or zero_element.
std::vector<std::int64_t> sources_of(const ConvProblem& p) {
    const Extent output = output_of(p), kernel = p.kernel;
    const std::int64_t sizes[] = {p.batch,       output[0], output[1], output[2],
                                  p.in_channels, kernel[0], kernel[1], kernel[2]};
    std::vector<std::int64_t> sources(std::size_t(p.batch * product(output) * p.in_channels * product(kernel)));
    for (std::size_t element = 0; element < sources.size(); ++element) {
        std::int64_t at[8], rest = std::int64_t(element);
        for (std::size_t axis = 8; axis-- > 0; rest /= sizes[axis]) at[axis] = rest % sizes[axis];
        std::int64_t pixel = at[0] * p.in_channels + at[4];
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const std::int64_t coordinate = at[1 + axis] * p.stride[axis] + at[5 + axis] * p.dilation[axis];
            const std::int64_t source = source_index(p.padding_mode, coordinate - p.pad_before[axis], p.input[axis]);
            pixel = pixel < 0 || source < 0 ? zero_element : pixel * p.input[axis] + source;
        }
        sources[element] = pixel;
    }
    return sources;
}

/// The same for the transposed matrices of all images.
std::vector<std::int64_t> transposed_sources_of(const ConvProblem& p) {
    const std::vector<std::int64_t> sources = sources_of(p);
    const auto rows = std::size_t(product(output_of(p))), columns = std::size_t(p.in_channels * product(p.kernel));
    std::vector<std::int64_t> transposed(sources.size());
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const std::size_t image = i / (rows * columns), row = i / columns % rows, column = i % columns;
        transposed[(image * columns + column) * rows + row] = sources[i];
    }
    return transposed;
}

/// Uniform in [low, high].
struct Random {
    std::mt19937 generator;
    std::int64_t operator()(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
    }
};

/// As many participants as are asked for, even on one CPU; the last one first.
struct Backwards final : Executor {
    int concurrency() const noexcept override { return 7; }
    void run(int participants, void (*body)(void*, int), void* context) noexcept override {
        while (participants-- > 0) body(context, participants);
    }
    Options options(int threads) {
        Options all_parts;
        all_parts.threads = threads, all_parts.work_per_thread = 0, all_parts.executor = this;
        return all_parts;
    }
};

ConvProblem random_problem(Random& random, PaddingMode mode) {
    for (;;) {
        ConvProblem p;
        p.padding_mode = mode;
        p.spatial_rank = int(random(1, 3));
        p.batch = random(1, 3), p.in_channels = random(1, 3);
        for (auto axis = std::size_t(3 - p.spatial_rank); axis < 3; ++axis) {
            p.input[axis] = random(1, axis == 2 ? 40 : 7);
            p.kernel[axis] = random(1, axis == 2 ? 20 : 4);
            p.stride[axis] = random(1, 4), p.dilation[axis] = random(1, 4);
            p.pad_before[axis] = random(0, 9), p.pad_after[axis] = random(0, 9);
        }
        Extent output{};
        if (output_size(p, output)) return p;
    }
}

/// x with its axes in any order, some backwards, some with gaps, off its alignment by one byte.
struct Layout {
    std::int64_t sizes[5];
    ByteStrides strides{};
    std::int64_t origin = 1, bytes = 1;

    Layout(const ConvProblem& p, std::int64_t element, Random& random)
        : sizes{p.batch, p.in_channels, p.input[0], p.input[1], p.input[2]} {
        std::size_t order[] = {4, 3, 2, 1, 0};
        if (random(0, 1)) std::shuffle(order, order + 5, random.generator);
        std::int64_t stride = element;
        for (const std::size_t axis : order) {
            if (random(0, 2) == 0) stride += random(1, 5);
            strides[axis] = stride;
            if (random(0, 2) == 0) strides[axis] = -stride, origin += stride * (sizes[axis] - 1);
            stride *= sizes[axis];
        }
        bytes += stride + element;
    }

    /// The place of pixel `index` of a dense x.
    std::size_t at(std::int64_t index) const {
        std::int64_t place = origin;
        for (std::size_t axis = 5; axis-- > 0; index /= sizes[axis]) place += index % sizes[axis] * strides[axis];
        return std::size_t(place);
    }
};

void check_writing(decltype(im2col) write, const std::vector<std::int64_t>& sources, const ConvProblem& p,
                   std::size_t element, Random& random) {
    const Layout layout(p, std::int64_t(element), random);
    std::vector<unsigned char> x(std::size_t(layout.bytes));
    for (unsigned char& byte : x) byte = static_cast<unsigned char>(random(1, 255));
    std::vector<unsigned char> expected(sources.size() * element + 2);  // off its alignment, too
    expected.front() = expected.back() = 0xAB;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        if (sources[i] >= 0) std::memcpy(&expected[1 + i * element], &x[layout.at(sources[i])], element);
    }
    Backwards executor;
    for (const int threads : {1, 7}) {
        std::vector<unsigned char> regions(expected.size(), 0xAB);
        REQUIRE(write(p, {x.data() + layout.origin, layout.strides}, regions.data() + 1, element,
                      executor.options(threads)));
        CHECK(regions == expected);
    }
}

void check_im2col(const ConvProblem& p, std::size_t element, Random& random) {
    check_writing(im2col, sources_of(p), p, element, random);
    check_writing(unfold, transposed_sources_of(p), p, element, random);
}

template <typename T>
void check_sums(decltype(col2im) sum, const std::vector<std::int64_t>& sources, const ConvProblem& p, Random& random) {
    const auto regions = random_numbers<T>(sources.size(), unsigned(random(0, 9999)));
    std::vector<T> sums(std::size_t(p.batch * p.in_channels * product(p.input)));
    for (std::size_t i = 0; i < sources.size(); ++i) {
        if (sources[i] >= 0) sums[std::size_t(sources[i])] += regions[i];
    }
    const Layout layout(p, sizeof(T), random);
    std::vector<unsigned char> expected(std::size_t(layout.bytes), 0xAB);
    for (std::size_t i = 0; i < sums.size(); ++i) {
        std::memcpy(&expected[layout.at(std::int64_t(i))], &sums[i], sizeof(T));
    }
    Backwards executor;
    for (const int threads : {1, 2, 7}) {
        std::vector<unsigned char> x(expected.size(), 0xAB);
        REQUIRE(sum(p, regions.data(), {x.data() + layout.origin, layout.strides}, executor.options(threads)));
        CHECK(x == expected);
    }
}

template <typename T>
void check_col2im(ConvProblem p, Random& random) {
    p.dtype = sizeof(T) == 4 ? DType::float32 : DType::float64;
    check_sums<T>(col2im, sources_of(p), p, random);
    check_sums<T>(fold, transposed_sources_of(p), p, random);
}

}  // namespace

TEST_CASE("im2col and unfold are their definitions, for elements of any size and images of any layout") {
    Random random{std::mt19937(1)};
    for (const PaddingMode mode : modes) {
        for (const std::size_t element : {1, 2, 4, 8, 16}) {
            for (int round = 0; round < 25; ++round) check_im2col(random_problem(random, mode), element, random);
        }
    }
}

TEST_CASE_TEMPLATE("col2im and fold add in the order of the rows, to the bit", T, float, double) {
    Random random{std::mt19937(2)};
    for (const PaddingMode mode : modes) {
        for (int round = 0; round < 60; ++round) check_col2im<T>(random_problem(random, mode), random);
    }
}

TEST_CASE("large images and kernels are cut in pieces, wherever these end") {
    Random random{std::mt19937(3)};
    for (const PaddingMode mode : modes) {
        ConvProblem wide, deep, single;
        wide.padding_mode = deep.padding_mode = single.padding_mode = mode;
        wide.spatial_rank = 1, wide.input = {1, 1, 60'000}, wide.kernel = {1, 1, 5}, wide.dilation = {1, 1, 2};
        wide.pad_before = {0, 0, 10'000}, wide.pad_after = {0, 0, 70'000};
        deep.spatial_rank = 3, deep.in_channels = 2, deep.input = {30, 12, 50};
        deep.kernel = {4, 3, 2}, deep.dilation = {5, 2, 1}, deep.stride = {2, 1, 1}, deep.pad_before = {30, 2, 1};
        single.input = {1, 30, 40}, single.kernel = {1, 500, 700};
        single.pad_before = {0, 470, 300}, single.pad_after = {0, 0, 360};
        for (const ConvProblem& problem : {wide, deep, single}) {
            check_im2col(problem, 2, random);
            check_col2im<float>(problem, random);
        }
    }
}

TEST_CASE("the dilation of a single tap and the stride of a single pixel may be any number") {
    Random random{std::mt19937(4)};
    for (const PaddingMode mode : modes) {
        for (const std::size_t axis : {1, 2}) {
            ConvProblem p;
            p.padding_mode = mode;
            p.input[axis] = p.kernel[3 - axis] = 3, p.dilation[axis] = wild, p.dilation[3 - axis] = 2;
            p.pad_before = {0, 5, 5}, p.pad_after = {0, 4, 4};
            check_im2col(p, 4, random);
            check_col2im<float>(p, random);
            p.input[axis] = 1;
            float pixel = 1, sum = 0;
            std::vector<float> regions(std::size_t(product(output_of(p)) * 3));
            for (const auto& [write, add] : {std::pair{&im2col, &col2im}, std::pair{&unfold, &fold}}) {
                CHECK(write(p, {&pixel, {wild, wild, wild, wild, wild}}, regions.data(), 4, {}));
                CHECK(add(p, regions.data(), {&sum, {wild, wild, wild, wild, wild}}, {}));
                CHECK(sum == std::accumulate(regions.begin(), regions.end(), 0.0f));
            }
        }
    }
}

TEST_CASE("col2im is the adjoint of im2col") {
    Random random{std::mt19937(5)};
    for (int round = 0; round < 100; ++round) {
        ConvProblem p = random_problem(random, modes[round % 5]);
        p.dtype = DType::float64;
        std::vector<double> x(std::size_t(p.batch * p.in_channels * product(p.input)));
        std::vector<double> regions(std::size_t(p.batch * product(output_of(p)) * p.in_channels * product(p.kernel)));
        // Small integers: sums are exact in any order.
        for (double& number : x) number = double(random(-9, 9));
        for (double& number : regions) number = double(random(-9, 9));
        std::vector<double> from_x(regions.size()), from_regions(x.size());
        REQUIRE(im2col(p, x.data(), from_x.data(), sizeof(double)));
        REQUIRE(col2im(p, regions.data(), from_regions.data()));
        CHECK(std::inner_product(regions.begin(), regions.end(), from_x.begin(), 0.0) ==
              std::inner_product(x.begin(), x.end(), from_regions.begin(), 0.0));
    }
}

TEST_CASE("should_stop is honoured within one image, one row and one position") {
    // Folded padding alone, so that even a fast machine needs longer than the time between two questions.
    constexpr std::int64_t elements = std::int64_t{1} << 23;
    for (const std::int64_t taps : {std::int64_t{64}, elements}) {
        ConvProblem p;
        p.dtype = DType::float64, p.spatial_rank = 1;
        p.input[2] = 7, p.kernel[2] = taps;
        p.pad_before[2] = elements / taps + taps - 1 - 7;
        p.padding_mode = PaddingMode::circular;
        REQUIRE(product(output_of(p)) * taps == elements);
        int asked = 0;
        Options options;
        options.threads = 1, options.stop_context = &asked;
        options.should_stop = [](void* context) { return ++*static_cast<int*>(context) > 0; };
        std::vector<double> regions(std::size_t(elements), 1.0), x(7, 2.0);
        CHECK(im2col(p, x.data(), regions.data(), sizeof(double), options).code == StatusCode::cancelled);
        CHECK(asked == 1);
        CHECK(regions.front() == 2.0);
        CHECK(regions.back() == 1.0);
        std::fill(regions.begin(), regions.end(), 1.0);
        CHECK(col2im(p, regions.data(), x.data(), options).code == StatusCode::cancelled);
        CHECK(asked == 2);
        CHECK(x[0] > 0.0);
        CHECK(x[0] < double(elements / 7));
    }
}

TEST_CASE("sizes are those of the elements that are moved") {
    ConvProblem p;
    p.spatial_rank = 1, p.input[2] = std::int64_t{1} << 61, p.stride[2] = std::int64_t{1} << 60;
    const unsigned char pixel = 7;
    unsigned char regions[2] = {};
    REQUIRE(im2col(p, {&pixel, {}}, regions, 1));
    CHECK(regions[1] == 7);
    const auto code = [&](std::size_t element_bytes) {
        std::int64_t rows = 0, columns = 0;
        return region_matrix_size(p, element_bytes, rows, columns).code;
    };
    CHECK(code(1) == StatusCode::ok);
    CHECK(code(4) == StatusCode::size_overflow);
    p.input[2] = std::int64_t{1} << 59;
    CHECK(code(8) == StatusCode::ok);
    CHECK(code(16) == StatusCode::size_overflow);
    CHECK(code(3) == StatusCode::invalid_argument);
    CHECK(code(std::numeric_limits<std::size_t>::max()) == StatusCode::invalid_argument);
}

TEST_CASE("null is refused where there are elements, and nowhere else") {
    ConvProblem p;
    p.input = {1, 4, 4}, p.kernel = {1, 3, 3};
    std::vector<float> x(16, 1.0f), regions(36, 1.0f);
    CHECK(im2col(p, nullptr, regions.data(), 4).message == "x is null");
    CHECK(im2col(p, x.data(), nullptr, 4).message == "regions is null");
    CHECK(col2im(p, nullptr, x.data()).message == "regions is null");
    CHECK(col2im(p, regions.data(), nullptr).code == StatusCode::invalid_argument);
    CHECK(regions == std::vector<float>(36, 1.0f));
    // An image without pixels, but with padding, has regions all the same.
    p.input = {1, 4, 0}, p.pad_before = {0, 0, 3};
    for (const auto write : {im2col, unfold}) {
        std::fill_n(regions.begin(), 18, 1.0f);
        REQUIRE(write(p, {nullptr, {wild, wild, wild, wild, wild}}, regions.data(), 4, {}));
        CHECK(std::accumulate(regions.begin(), regions.end(), 0.0f) == 18.0f);
    }
    CHECK(im2col(p, nullptr, nullptr, 4).message == "regions is null");
    CHECK(unfold(p, nullptr, nullptr, 4).message == "regions is null");
    CHECK(col2im(p, regions.data(), nullptr));
    CHECK(fold(p, regions.data(), nullptr));
    p.batch = 0;
    CHECK(im2col(p, nullptr, nullptr, 4));
    CHECK(col2im(p, nullptr, nullptr));
    Options options;
    options.threads = -1;
    CHECK(col2im(p, nullptr, nullptr, options).message.find("threads") == 0);
}

TEST_CASE("im2col and col2im are adjoint where padding repeats pixels") {
    ConvProblem problem;
    problem.dtype = DType::float64;
    problem.batch = 2, problem.in_channels = 3;
    problem.input = {1, 7, 9};
    problem.kernel = {1, 3, 2};
    problem.stride = {1, 2, 1};
    problem.padding_mode = PaddingMode::reflect;
    problem.pad_before = {0, 1, 2};
    Extent output{};
    REQUIRE(output_size(problem, output));
    const auto elements = std::size_t(2 * output[1] * output[2] * 18);
    // Small integers: sums are exact in any order.
    const auto integers = [](std::size_t count, unsigned seed) {
        std::vector<double> numbers = random_numbers<double>(count, seed);
        for (double& number : numbers) number = double(int(number * 8));
        return numbers;
    };
    const auto x = integers(2 * 3 * 7 * 9, 1), regions = integers(elements, 2);
    std::vector<double> from_x(elements), from_regions(x.size());
    REQUIRE(im2col(problem, x.data(), from_x.data(), 8));
    REQUIRE(col2im(problem, regions.data(), from_regions.data()));
    double left = 0, right = 0;
    for (std::size_t i = 0; i < elements; ++i) left += from_x[i] * regions[i];
    for (std::size_t i = 0; i < x.size(); ++i) right += x[i] * from_regions[i];
    CHECK(left == right);
    CHECK(left != 0);
    CHECK(im2col(problem, x.data(), from_x.data(), 3).code == StatusCode::invalid_argument);
}
