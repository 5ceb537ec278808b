// The public API: every algorithm, kernel set and thread count against the reference, to the bit; memory; failures.
#include <doctest/doctest.h>
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <limits>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "allocations.hpp"
#include "kernel_sets.hpp"
#include "problems.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TEST_CASE_TEMPLATE("all kernel sets and thread counts give the reference's bits", T, float, double) {
    const IsaReset reset;
    std::mt19937 random(2024);
    for (int round = 0; round < 60; ++round) {
        ConvProblem problem = random_problem(random);
        problem.dtype = dtype_of<T>();
        const Sizes sizes = sizes_of(problem);
        const auto x = random_numbers<T>(std::size_t(sizes.x), unsigned(round));
        const auto weight = random_numbers<T>(std::size_t(sizes.weight), unsigned(round) + 1000);
        const auto bias = random_numbers<T>(std::size_t(sizes.bias), unsigned(round) + 2000);
        const void* bias_data = round % 3 ? bias.data() : nullptr;
        Options options;
        options.algorithm = Algorithm::reference;
        std::vector<T> expected(std::size_t(sizes.y), std::numeric_limits<T>::quiet_NaN());
        REQUIRE(conv(problem, {x.data(), weight.data(), bias_data}, expected.data(), options));
        for (const KernelSet* set : usable_kernel_sets()) {
            REQUIRE(set_isa(set->name));
            for (const int threads : {1, 2, 3, 7}) {
                options.algorithm = threads % 2 ? Algorithm::automatic : Algorithm::im2col;
                options.threads = threads;
                options.work_per_thread = 0;
                std::vector<T> y(std::size_t(sizes.y), std::numeric_limits<T>::quiet_NaN());
                REQUIRE(conv(problem, {x.data(), weight.data(), bias_data}, y.data(), options));
                CAPTURE(round);
                CAPTURE(set->name);
                CAPTURE(threads);
                REQUIRE(same_bits(y, expected));
            }
        }
    }
}

TEST_CASE("work that is split over output channels, images, groups and bands") {
    struct Case {
        std::int64_t batch, groups, in, out, size;
    };
    for (const Case c : {Case{1, 1, 40, 200, 6}, Case{5, 1, 8, 8, 40}, Case{1, 8, 64, 64, 20}, Case{1, 1, 3, 8, 200}}) {
        ConvProblem problem;
        problem.batch = c.batch, problem.groups = c.groups;
        problem.in_channels = c.in, problem.out_channels = c.out;
        problem.input = {1, c.size, c.size};
        problem.kernel = {1, 3, 3};
        problem.padding = PaddingRule::same;
        const Sizes sizes = sizes_of(problem);
        const auto x = random_numbers<float>(std::size_t(sizes.x), 1);
        const auto weight = random_numbers<float>(std::size_t(sizes.weight), 2);
        std::vector<float> expected(std::size_t(sizes.y)), y(std::size_t(sizes.y));
        Options options;
        options.algorithm = Algorithm::reference;
        REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, expected.data(), options));
        for (const int threads : {1, 2, 3, 7, 64}) {
            options.algorithm = Algorithm::automatic;
            options.threads = threads;
            REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, y.data(), options));
            CHECK(same_bits(y, expected));
        }
    }
}

TEST_CASE("arrays of any layout are read and written where they lie") {
    ConvProblem problem;
    problem.in_channels = 3, problem.out_channels = 5;
    problem.input = {1, 11, 40};
    problem.kernel = {1, 3, 3};
    const Sizes sizes = sizes_of(problem);
    const auto x = random_numbers<float>(std::size_t(sizes.x), 1);
    const auto weight = random_numbers<float>(std::size_t(sizes.weight), 2);
    const auto bias = random_numbers<float>(5, 3);
    std::vector<float> expected(std::size_t(sizes.y));
    REQUIRE(conv(problem, {x.data(), weight.data(), bias.data()}, expected.data()));

    // x backwards, weights transposed, y with its channels last, all of them off their alignment by one byte.
    const auto spread = [](const std::vector<float>& from, std::size_t count) {
        std::vector<std::byte> bytes(count * 4 + 1, std::byte{0xAB});
        std::memcpy(bytes.data() + 1, from.data(), from.size() * 4);
        return bytes;
    };
    std::vector<float> reversed(x.rbegin(), x.rend());
    const auto x_bytes = spread(reversed, reversed.size());
    std::vector<float> transposed(weight.size());
    for (std::size_t o = 0; o < 5; ++o) {
        for (std::size_t rest = 0; rest < 27; ++rest) transposed[rest * 5 + o] = weight[o * 27 + rest];
    }
    const auto weight_bytes = spread(transposed, transposed.size());
    std::vector<std::byte> y_bytes(std::size_t(sizes.y) * 4 + 1, std::byte{0xAB});
    const std::int64_t height = 9, width = 38;
    REQUIRE(conv(problem,
                 {{x_bytes.data() + 1 + 4 * (sizes.x - 1), {-4 * sizes.x, -4 * 11 * 40, -4 * 11 * 40, -4 * 40, -4}},
                  {weight_bytes.data() + 1, {4, 4 * 9 * 5, 4 * 9 * 5, 4 * 3 * 5, 4 * 5}},
                  bias.data()},
                 {y_bytes.data() + 1, {0, 4, 0, 4 * width * 5, 4 * 5}}));
    CHECK(y_bytes[0] == std::byte{0xAB});
    for (std::int64_t o = 0; o < 5; ++o) {
        for (std::int64_t pixel = 0; pixel < height * width; ++pixel) {
            float value;
            std::memcpy(&value, y_bytes.data() + 1 + 4 * (pixel * 5 + o), 4);
            REQUIRE(value == expected[std::size_t(o * height * width + pixel)]);
        }
    }
}

TEST_CASE("the n-th allocation may fail") {
    ConvProblem problem;
    problem.in_channels = 8, problem.out_channels = 16;
    problem.input = {1, 40, 40};
    problem.kernel = {1, 3, 3};
    const Sizes sizes = sizes_of(problem);
    const auto x = random_numbers<float>(std::size_t(sizes.x), 1);
    const auto weight = random_numbers<float>(std::size_t(sizes.weight), 2);
    std::vector<float> y(std::size_t(sizes.y), -5.0f);
    const std::vector<float> poison = y;
    int failures = 0;
    for (long n = 0; n < 100; ++n) {
        Options options;
        options.threads = 3;
        const Status status =
            with_allocations(n, [&] { return conv(problem, {x.data(), weight.data(), nullptr}, y.data(), options); });
        if (status) break;
        ++failures;
        CHECK(status.code == StatusCode::out_of_memory);
        CHECK(same_bits(y, poison));
    }
    CHECK(failures > 0);
    CHECK_FALSE(same_bits(y, poison));
}

TEST_CASE("a status of C needs no memory") {
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof(problem));
    problem.stride[1] = 0;
    std::int64_t output[3];
    flatconv_packed_conv* packed = nullptr;
    allocations_left = 0;
    flatconv_status* const statuses[] = {flatconv_output_size(&problem, output),
                                         flatconv_packed_conv_create(&problem, {}, {}, &packed, nullptr)};
    allocations_left = std::numeric_limits<long>::max();
    for (flatconv_status* status : statuses) {
        CHECK(flatconv_status_code(status) == FLATCONV_OUT_OF_MEMORY);
        CHECK(flatconv_status_message(status) == std::string("out of memory"));
        flatconv_status_free(status);
    }
    CHECK(packed == nullptr);
}

TEST_CASE("im2col, unfold and their adjoints allocate nothing") {
    ConvProblem problem;
    problem.in_channels = 3;
    problem.input = {1, 40, 40};
    problem.kernel = {1, 3, 3};
    std::vector<float> x(3 * 40 * 40, 1.0f), regions(38 * 38 * 27);
    Options options;
    options.threads = 1;
    CHECK(with_allocations(0, [&] { return im2col(problem, x.data(), regions.data(), sizeof(float), options); }));
    CHECK(with_allocations(0, [&] { return col2im(problem, regions.data(), x.data(), options); }));
    CHECK(with_allocations(0, [&] { return unfold(problem, x.data(), regions.data(), sizeof(float), options); }));
    CHECK(with_allocations(0, [&] { return fold(problem, regions.data(), x.data(), options); }));
}

TEST_CASE("the workspace is bounded, known, and capped on request") {
    ConvProblem problem;
    problem.input = {1, 1000, 1000};
    problem.in_channels = 64, problem.out_channels = 64;
    problem.kernel = {1, 3, 3};
    Options options;
    options.threads = 2;
    std::size_t large = 0, small = 0;
    REQUIRE(workspace_bytes(problem, large, options));
    CHECK(large <= 2 * (std::size_t{1} << 20));
    problem.input = {1, 8000, 8000};
    problem.batch = 100;
    REQUIRE(workspace_bytes(problem, small, options));
    CHECK(small <= 2 * (std::size_t{1} << 20));
    // A limit is met by fewer threads, then by smaller bands, before it is an error.
    problem.input = {1, 100, 100};
    problem.batch = 1;
    for (const int divisor : {1, 2, 4, 8}) {
        options.workspace_limit = large / std::size_t(divisor);
        std::size_t used = 0;
        REQUIRE(workspace_bytes(problem, used, options));
        CHECK(used <= options.workspace_limit);
    }
    options.workspace_limit = 1000;
    const Status status = workspace_bytes(problem, small, options);
    CHECK(status.code == StatusCode::out_of_memory);
    CHECK(status.message.find("workspace_limit of 1000 bytes") == 0);
}

TEST_CASE("should_stop ends a call early") {
    ConvProblem problem;
    problem.in_channels = problem.out_channels = 64;
    problem.input = {1, 300, 300};
    problem.kernel = {1, 5, 5};
    const Sizes sizes = sizes_of(problem);
    const std::vector<float> x(std::size_t(sizes.x), 1.0f), weight(std::size_t(sizes.weight), 1.0f);
    std::vector<float> y(std::size_t(sizes.y));
    int asked = 0;
    Options options;
    options.threads = 1;
    options.stop_context = &asked;
    options.should_stop = [](void* context) {
        ++*static_cast<int*>(context);
        return true;
    };
    const Status status = conv(problem, {x.data(), weight.data(), nullptr}, y.data(), options);
    CHECK(status.code == StatusCode::cancelled);
    CHECK(asked == 1);
    CHECK(y.back() == 0.0f);
}

TEST_CASE("the application's own executor runs the tasks") {
    struct Serial final : Executor {
        int calls = 0;
        int concurrent = 4;
        int concurrency() const noexcept override { return concurrent; }
        void run(int participants, void (*body)(void*, int), void* context) noexcept override {
            ++calls;
            for (int i = participants - 1; i >= 0; --i) body(context, i);
        }
    };
    ConvProblem problem;
    problem.in_channels = problem.out_channels = 16;
    problem.input = {1, 64, 64};
    problem.kernel = {1, 3, 3};
    const Sizes sizes = sizes_of(problem);
    const auto x = random_numbers<float>(std::size_t(sizes.x), 1);
    const auto weight = random_numbers<float>(std::size_t(sizes.weight), 2);
    std::vector<float> expected(std::size_t(sizes.y)), y(std::size_t(sizes.y));
    Serial serial;
    Options options;
    options.threads = 4;
    options.executor = &serial;
    REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, y.data(), options));
    CHECK(serial.calls == 1);
    // One that claims to run nothing is taken to run one thing at a time.
    serial.concurrent = 0;
    options.threads = 0;
    REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, y.data(), options));
    options.algorithm = Algorithm::reference;
    options.executor = nullptr;
    REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, expected.data(), options));
    CHECK(same_bits(y, expected));
}

#if defined(__x86_64__)
TEST_CASE("an application that flushes subnormals to zero gets them all the same, and keeps its setting") {
    ConvProblem problem;
    problem.input = {1, 3, 3};
    problem.kernel = {1, 2, 2};
    const std::vector<float> x(9, 1e-40f), weight(4, 0.5f);
    std::vector<float> expected(4), y(4);
    REQUIRE(conv(problem, {x.data(), weight.data(), nullptr}, expected.data()));
    const unsigned before = _mm_getcsr();
    const unsigned flushing = before | 0x8040;
    _mm_setcsr(flushing);
    const Status status = conv(problem, {x.data(), weight.data(), nullptr}, y.data());
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    REQUIRE(status);
    CHECK(after == flushing);
    CHECK(same_bits(y, expected));
    CHECK(expected[0] > 0);
}
#endif

TEST_CASE("empty results, depth 0, and bad options") {
    ConvProblem problem;
    problem.input = {1, 4, 4};
    problem.batch = 0;
    CHECK(conv(problem, {nullptr, nullptr, nullptr}, nullptr));
    problem.batch = 1;
    problem.out_channels = 0;
    CHECK(conv(problem, {nullptr, nullptr, nullptr}, nullptr));
    problem.out_channels = 1;
    problem.in_channels = 0;
    const float bias = 3;
    std::vector<float> y(16, -1.0f);
    REQUIRE(conv(problem, {nullptr, nullptr, &bias}, y.data()));
    CHECK(y == std::vector<float>(16, 3.0f));
    Options options;
    options.algorithm = Algorithm::im2col;
    y.assign(16, -1.0f);
    REQUIRE(conv(problem, {nullptr, nullptr, &bias}, y.data(), options));
    CHECK(y == std::vector<float>(16, 3.0f));
    options = {};
    options.threads = -1;
    CHECK(conv(problem, {nullptr, nullptr, &bias}, y.data(), options).code == StatusCode::invalid_argument);
    CHECK(set_isa("mmx").code == StatusCode::invalid_argument);
    CHECK(set_isa(nullptr).code == StatusCode::invalid_argument);
    problem.in_channels = 1;
    CHECK(conv(problem, {nullptr, &bias, nullptr}, y.data()).message == "x is null");
    CHECK(conv(problem, {y.data(), nullptr, nullptr}, y.data()).message == "weight is null");
    CHECK(conv(problem, {y.data(), &bias, nullptr}, nullptr).message == "y is null");
    problem.padding_mode = PaddingMode(9);
    CHECK(conv(problem, {y.data(), &bias, nullptr}, y.data()).code == StatusCode::invalid_argument);
}
