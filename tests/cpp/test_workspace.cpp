// The caller's workspace: its size to the byte, any alignment and content, and no other allocation.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "allocations.hpp"
#include "base/aligned_buffer.hpp"
#include "random_call.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TEST_CASE("sizes that std::size_t cannot hold add up to the most that it holds, which is not to be had") {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    for (const std::size_t count : {most, most / sizeof(double) + 2, most / sizeof(double)}) {
        CAPTURE(count);
        Carver carver(nullptr);
        carver.take<double>(count);
        CHECK(carver.used() == most);
        carver.take<double>(100);
        CHECK(carver.used() == most);
    }
    Carver carver(nullptr);
    for (int half = 0; half < 2; ++half) carver.take<char>(most / 2);
    CHECK(carver.used() == most);
    CHECK(AlignedBuffer(most).data() == nullptr);
}

namespace {

/// A layer as `conv` and as `PackedConv`, each with the workspace that it asks for.
struct Layer {
    ConvProblem problem;
    std::vector<float> x, weight, bias, expected;
    PackedConv packed;

    explicit Layer(bool transposed = false) {
        problem.transposed = transposed;
        if (transposed) problem.stride = {1, 2, 3};
        problem.in_channels = 20, problem.out_channels = 37;
        problem.input = {1, 19, 23};
        problem.kernel = {1, 5, 3};
        problem.padding = PaddingRule::same;
        const Sizes sizes = sizes_of(problem);
        x = random_numbers<float>(std::size_t(sizes.x), 1);
        weight = random_numbers<float>(std::size_t(sizes.weight), 2);
        bias = random_numbers<float>(std::size_t(sizes.bias), 3);
        REQUIRE(PackedConv::pack(problem, weight.data(), bias.data(), packed));
        expected.resize(std::size_t(sizes.y));
        Options options;
        options.algorithm = Algorithm::reference;
        REQUIRE(conv(problem, {x.data(), weight.data(), bias.data()}, expected.data(), options));
    }

    std::size_t bytes(bool is_packed, const Options& options) const {
        std::size_t needed = 12345;
        REQUIRE((is_packed ? packed.workspace_bytes(problem.batch, problem.input, needed, options)
                           : workspace_bytes(problem, needed, options)));
        return needed;
    }
    Status run(bool is_packed, const Options& options, float* y) const {
        return is_packed ? packed.run(problem.batch, problem.input, x.data(), y, {}, options)
                         : conv(problem, {x.data(), weight.data(), bias.data()}, y, options);
    }
};

}  // namespace

TEST_CASE("workspaces that all participants share, and one for each") {
    const auto take = [](std::size_t bytes) { return [bytes](Carver& carver) { carver.take<std::byte>(bytes); }; };
    const Workspaces workspaces(3, take(100), take(1));
    CHECK(workspaces.bytes() == 128 + 3 * 64);
    alignas(cache_line) std::byte memory[512];
    CHECK(workspaces.own(memory, 2).take<std::byte>(1) == memory + 128 + 2 * 64);
    // Of two halves of all that there is, nothing would remain.
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    CHECK(Workspaces(2, most / 2 + 1).bytes() == most);
    CHECK(Workspaces(1, take(most / 2), take(most)).bytes() == most);
    CHECK(Workspaces(0, most).bytes() == 0);
}

TEST_CASE("the workspace may begin anywhere and hold anything, and not a byte beside it is touched") {
    const Layer layer;
    for (const bool is_packed : {false, true}) {
        for (const Algorithm algorithm : all_algorithms) {
            for (const int threads : {1, 3}) {
                CAPTURE(is_packed);
                CAPTURE(int(algorithm));
                CAPTURE(threads);
                Options options;
                options.algorithm = algorithm;
                options.threads = threads;
                options.work_per_thread = 0;
                const std::size_t needed = layer.bytes(is_packed, options);
                const std::size_t most_shift = algorithm == Algorithm::reference ? 4 : 66;
                for (std::size_t shift = 0; shift < most_shift; shift += algorithm == Algorithm::reference ? 1 : 13) {
                    for (const int poison : {0x00, 0x7F, 0xFF}) {
                        const auto content = std::byte(poison), outside = std::byte{0xA5};
                        constexpr std::size_t margin = 64;
                        std::vector<std::byte> memory(margin + shift + needed + margin, outside);
                        std::byte* const workspace = memory.data() + margin + shift;
                        std::fill_n(workspace, needed, content);
                        options.workspace = workspace;
                        options.workspace_bytes = needed;
                        std::vector<float> y(layer.expected.size(), std::numeric_limits<float>::quiet_NaN());
                        const Status status = layer.run(is_packed, options, y.data());
                        REQUIRE_MESSAGE(status, status.message);
                        REQUIRE(same_bits(y, layer.expected));
                        REQUIRE(std::count(memory.data(), workspace, outside) == workspace - memory.data());
                        const std::byte* const end = memory.data() + memory.size();
                        REQUIRE(std::count<const std::byte*>(workspace + needed, end, outside) ==
                                end - (workspace + needed));
                    }
                }
            }
        }
    }
}

TEST_CASE("a workspace that is a byte too small is an error that says what is needed") {
    const Layer layer;
    for (const bool is_packed : {false, true}) {
        for (const Algorithm algorithm : {Algorithm::im2col, Algorithm::implicit, Algorithm::channels}) {
            Options options;
            options.algorithm = algorithm;
            const std::size_t needed = layer.bytes(is_packed, options);
            std::vector<std::byte> memory(needed + 128);
            // Behind the start of a cache line, most is lost to alignment.
            const auto skew = reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
            options.workspace = memory.data() + (64 - skew) + 1;
            options.workspace_bytes = needed - 1;
            std::vector<float> y(layer.expected.size(), -5.0f);
            const std::vector<float> before = y;
            const Status status = layer.run(is_packed, options, y.data());
            CHECK(status.code == StatusCode::out_of_memory);
            CHECK(status.message.find("workspace of " + std::to_string(needed - 1) + " bytes") == 0);
            CHECK(status.message.find("needs " + std::to_string(needed)) != std::string::npos);
            CHECK(same_bits(y, before));
        }
    }
}

TEST_CASE("a packed layer with a workspace allocates nothing from the second call on") {
    for (const bool transposed : {false, true}) {
        const Layer layer(transposed);
        for (const Algorithm algorithm : all_algorithms) {
            for (const int threads : {1, 2, 3}) {
                CAPTURE(transposed);
                CAPTURE(int(algorithm));
                CAPTURE(threads);
                Options options;
                options.algorithm = algorithm;
                options.threads = threads;
                options.work_per_thread = 0;
                std::vector<std::byte> memory(layer.bytes(true, options) + 1);
                options.workspace = memory.data();
                options.workspace_bytes = memory.size();
                std::vector<float> y(layer.expected.size());
                REQUIRE(layer.run(true, options, y.data()));
                y.assign(y.size(), std::numeric_limits<float>::quiet_NaN());
                const Status status = with_allocations(0, [&] { return layer.run(true, options, y.data()); });
                REQUIRE_MESSAGE(status, status.message);
                CHECK(same_bits(y, layer.expected));
                // The same without a workspace does allocate: the count counts.
                options.workspace = nullptr;
                if (algorithm != Algorithm::reference) {
                    CHECK(with_allocations(0, [&] { return layer.run(true, options, y.data()); }).code ==
                          StatusCode::out_of_memory);
                }
            }
        }
    }
}
