// PackedConv: the bits of conv, shapes beyond its cache of plans, callers at the same time, errors, explanations.
#include <doctest/doctest.h>

#include <limits>
#include <thread>
#include <utility>

#include "allocations.hpp"
#include "random_call.hpp"

using namespace flatconv;
using namespace flatconv::tests;

TYPE_TO_STRING(float);
TYPE_TO_STRING(double);

namespace {

/// A layer of 3×3 kernels from 5 channels to 21, and images for it.
struct Layer {
    ConvProblem problem;
    std::vector<float> weight, bias, image;
    PackedConv packed;

    Layer() {
        problem.in_channels = 5, problem.out_channels = 21;
        problem.kernel = {1, 3, 3};
        problem.padding = PaddingRule::same;
        problem.activation = {Activation::relu};
        problem.input = {1, 40, 40};
        const Sizes sizes = sizes_of(problem);
        weight = random_numbers<float>(std::size_t(sizes.weight), 1);
        bias = random_numbers<float>(std::size_t(sizes.bias), 2);
        image = random_numbers<float>(std::size_t(sizes.x), 3);
        REQUIRE(PackedConv::pack(problem, weight.data(), bias.data(), packed));
    }

    std::vector<float> poison(const Extent& input) const {
        return std::vector<float>(std::size_t(21 * product(input)), std::numeric_limits<float>::quiet_NaN());
    }
    std::vector<float> expected(const Extent& input) const {
        ConvProblem called = problem;
        called.input = input;
        Options options;
        options.algorithm = Algorithm::reference;
        auto y = poison(input);
        REQUIRE(conv(called, {image.data(), weight.data(), bias.data()}, y.data(), options));
        return y;
    }
};

}  // namespace

TEST_CASE_TEMPLATE("a packed layer gives the bits of conv, wherever the arrays lie", T, float, double) {
    const IsaReset reset;
    for (unsigned seed = 100; seed < 160; ++seed) {
        RandomCall<T> call(seed, seed >= 130);
        CAPTURE(seed);
        for (const KernelSet* set : usable_kernel_sets()) {
            REQUIRE(set_isa(set->name));
            CAPTURE(set->name);
            PackedConv packed;
            REQUIRE(PackedConv::pack(call.problem, call.weight->to_read(), call.bias_array(), packed));
            // What was packed for one instruction set is computed with it, whatever is chosen later.
            if (seed % 2) REQUIRE(set_isa("portable"));
            for (const Algorithm algorithm : all_algorithms) {
                CAPTURE(int(algorithm));
                Options options;
                options.algorithm = algorithm;
                options.threads = 1 + int(seed % 3);
                options.work_per_thread = 0;
                for (const Layout layout : all_layouts) {
                    call.check(layout, [&](const Array& y) {
                        return packed.run(call.problem.batch, call.problem.input, call.x->to_read(), y,
                                          call.residual_array(), options);
                    });
                }
            }
        }
    }
}

TEST_CASE("a transposed layer is packed whatever of its output is cut off, and phases may be without outputs") {
    ConvProblem problem;
    problem.transposed = true;
    problem.in_channels = 3, problem.out_channels = 5;
    problem.kernel = {1, 4, 3};
    problem.stride = {1, 3, 5};
    problem.dilation = {1, 1, 2};
    problem.activation = {Activation::relu};
    const auto weight = random_numbers<float>(3 * 5 * 4 * 3, 1), x = random_numbers<float>(3 * 12 * 12, 2);
    const auto check = [&] {
        PackedConv packed;
        const Status packing = PackedConv::pack(problem, weight.data(), {}, packed);
        REQUIRE_MESSAGE(packing, packing.message);
        int checked = 0;
        for (std::int64_t height = 1; height <= 12; ++height) {
            for (std::int64_t width : {1, 2, 7, 12}) {
                const ConvProblem called = packed.problem(1, {1, height, width});
                Extent output{};
                const Status sized = output_size(called, output);
                std::vector<float> y(sized ? std::size_t(5 * product(output)) : 1, -5.0f), expected(y);
                const Status status = packed.run(1, called.input, x.data(), y.data());
                CHECK(status.message == sized.message);
                Options options;
                options.algorithm = Algorithm::reference;
                if (sized) REQUIRE(conv(called, {x.data(), weight.data()}, expected.data(), options));
                CHECK(same_bits(y, expected));
                checked += bool(sized);
            }
        }
        CHECK(checked >= 4);
    };
    check();
    problem.pad_before = {0, 14, 9}, problem.pad_after = {0, 17, 25};
    check();
    problem.output_padding = {0, 2, 4};
    check();
    for (const PaddingRule rule : {PaddingRule::valid, PaddingRule::same, PaddingRule::same_lower, PaddingRule::full}) {
        problem.padding = rule;
        problem.output_padding = {0, 0, 0};
        check();
    }
}

TEST_CASE("what cannot be packed as a transposed layer") {
    const float one = 1;
    const auto pack = [&](auto change) {
        ConvProblem problem;
        problem.transposed = true;
        problem.kernel = {1, 3, 3};
        change(problem);
        PackedConv packed;
        return PackedConv::pack(problem, {&one, ByteStrides{}}, {}, packed);
    };
    CHECK(pack([](ConvProblem&) {}));
    CHECK(pack([](ConvProblem& p) { p.padding_mode = PaddingMode::reflect; }).message ==
          "padding_mode must be zeros for a transposed convolution");
    CHECK(pack([](ConvProblem& p) { p.output_padding = {0, 0, 1}; }).code == StatusCode::invalid_argument);
    CHECK(pack([](ConvProblem& p) { p.stride[2] = 0; }).code == StatusCode::invalid_argument);
    CHECK(pack([](ConvProblem& p) { p.pad_after[1] = -1; }).code == StatusCode::invalid_argument);
    CHECK(pack([](ConvProblem& p) { p.pad_before[1] = std::int64_t{1} << 62; }).code == StatusCode::size_overflow);
    CHECK(pack([](ConvProblem& p) { p.kernel[1] = std::int64_t{1} << 32; }).code == StatusCode::invalid_argument);
    CHECK(pack([](ConvProblem& p) { p.in_channels = std::int64_t{1} << 60; }).code == StatusCode::size_overflow);
}

TEST_CASE("a packed layer owns its weights") {
    Layer layer;
    const Extent input{1, 17, 19};
    const auto expected = layer.expected(input);
    layer.weight.assign(layer.weight.size(), std::numeric_limits<float>::quiet_NaN());
    layer.bias.assign(layer.bias.size(), std::numeric_limits<float>::quiet_NaN());
    auto y = layer.poison(input);
    REQUIRE(layer.packed.run(1, input, layer.image.data(), y.data()));
    CHECK(same_bits(y, expected));
}

TEST_CASE("a packed layer forgets plans, not results: more shapes than it keeps, from several threads at once") {
    const Layer layer;
    std::vector<Extent> inputs;
    std::vector<std::vector<float>> expected;
    for (std::int64_t size = 1; size <= 37; ++size) {
        inputs.push_back({1, size, 38 - size});
        expected.push_back(layer.expected(inputs.back()));
    }
    constexpr int callers = 4;
    int wrong[callers] = {};
    const auto call = [&](int caller) {
        // Each caller at its own pace through the shapes, twice.
        for (std::size_t i = 0; i < 2 * inputs.size(); ++i) {
            const std::size_t shape = (i * std::size_t(2 * caller + 1)) % inputs.size();
            Options options;
            options.threads = 1 + caller % 2;
            options.work_per_thread = 0;
            auto y = layer.poison(inputs[shape]);
            const Status status = layer.packed.run(1, inputs[shape], layer.image.data(), y.data(), {}, options);
            wrong[caller] += !status || !same_bits(y, expected[shape]);
        }
    };
    std::vector<std::thread> threads;
    for (int caller = 0; caller < callers; ++caller) threads.emplace_back(call, caller);
    for (std::thread& thread : threads) thread.join();
    for (const int count : wrong) CHECK(count == 0);
}

TEST_CASE("an empty layer fails, and one that was moved from is empty") {
    const float one = 1;
    float y = -5;
    std::size_t bytes = 7;
    std::string text = "before";
    const auto check_empty = [&](const PackedConv& packed) {
        for (const Status& status : {packed.run(1, {1, 1, 1}, &one, &y), packed.workspace_bytes(1, {1, 1, 1}, bytes),
                                     packed.explain(1, {1, 1, 1}, text)}) {
            CHECK(status.code == StatusCode::invalid_argument);
            CHECK(status.message.find("PackedConv is empty") != std::string::npos);
        }
        CHECK(y == -5);
        CHECK(bytes == 7);
        CHECK(text == "before");
        CHECK(packed.problem(3, {1, 2, 4}).batch == 3);
        CHECK(packed.problem(3, {1, 2, 4}).input == Extent{1, 2, 4});
    };
    PackedConv first;
    check_empty(first);
    REQUIRE(PackedConv::pack({}, &one, {}, first));
    PackedConv second(std::move(first));
    check_empty(first);
    first = std::move(second);
    check_empty(second);
    CHECK(first.run(1, {1, 1, 1}, &one, &y));
    CHECK(y == 1);
    PackedConv& itself = first;
    first = std::move(itself);
    y = -5;
    CHECK(first.run(1, {1, 1, 1}, &one, &y));
    CHECK(y == 1);
}

TEST_CASE("what cannot be packed leaves the old layer") {
    Layer layer;
    const Extent input{1, 9, 8};
    const auto expected = layer.expected(input);
    const auto check_old = [&](const Status& status, StatusCode code) {
        CHECK(status.code == code);
        auto y = layer.poison(input);
        REQUIRE(layer.packed.run(1, input, layer.image.data(), y.data()));
        CHECK(same_bits(y, expected));
    };
    const auto pack = [&](auto change) {
        ConvProblem problem = layer.problem;
        change(problem);
        return PackedConv::pack(problem, layer.weight.data(), {}, layer.packed);
    };
    check_old(pack([](ConvProblem& p) { p.groups = 2; }), StatusCode::invalid_argument);
    check_old(pack([](ConvProblem& p) { p.kernel[2] = 0; }), StatusCode::invalid_argument);
    check_old(pack([](ConvProblem& p) { p.stride[1] = -1; }), StatusCode::invalid_argument);
    check_old(pack([](ConvProblem& p) { p.spatial_rank = 4; }), StatusCode::invalid_argument);
    check_old(pack([](ConvProblem& p) { p.in_channels = std::int64_t{1} << 60; }), StatusCode::size_overflow);
    check_old(PackedConv::pack(layer.problem, nullptr, {}, layer.packed), StatusCode::invalid_argument);
    // Weights of one output channel, of which whole vectors are more than can be addressed.
    const float one = 1;
    for (const std::int64_t factor : {3, 5, 9, 17}) {
        ConvProblem huge;
        huge.in_channels = std::int64_t((std::numeric_limits<std::uint64_t>::max() / 4) / std::uint64_t(factor)) + 1;
        if (huge.in_channels >= std::int64_t{1} << 61) continue;
        const Status status = PackedConv::pack(huge, {&one, ByteStrides{}}, {}, layer.packed);
        CHECK((status.code == StatusCode::out_of_memory || status.code == StatusCode::size_overflow));
    }
    int failures = 0;
    for (long n = 0;; ++n) {
        const Status status = with_allocations(
            n, [&] { return PackedConv::pack(layer.problem, layer.weight.data(), layer.bias.data(), layer.packed); });
        if (status) break;
        REQUIRE(++failures < 100);
        check_old(status, StatusCode::out_of_memory);
    }
    CHECK(failures > 0);
}

TEST_CASE("calls of a packed layer are checked") {
    const Layer layer;
    auto y = layer.poison({1, 4, 4});
    const auto poison = y;
    const float* const x = layer.image.data();
    CHECK(layer.packed.run(1, {1, 4, 4}, nullptr, y.data()).message == "x is null");
    CHECK(layer.packed.run(1, {1, 4, 4}, x, nullptr).message == "y is null");
    CHECK(layer.packed.run(-1, {1, 4, 4}, x, y.data()).code == StatusCode::invalid_argument);
    CHECK(layer.packed.run(1, {1, -4, 4}, x, y.data()).code == StatusCode::invalid_argument);
    Options options;
    options.threads = -1;
    CHECK(layer.packed.run(1, {1, 4, 4}, x, y.data(), {}, options).code == StatusCode::invalid_argument);
    options = {};
    options.workspace_limit = 100;
    CHECK(layer.packed.run(1, {1, 4, 4}, x, y.data(), {}, options).code == StatusCode::out_of_memory);
    CHECK(same_results(y, poison));
    CHECK(layer.packed.run(0, {1, 4, 4}, nullptr, nullptr));
    int failures = 0;
    for (long n = 0;; ++n) {
        const Status status = with_allocations(n, [&] { return layer.packed.run(1, {1, 4, 4}, x, y.data(), {}, {}); });
        if (status) break;
        REQUIRE(++failures < 100);
        CHECK(status.code == StatusCode::out_of_memory);
        CHECK(same_results(y, poison));
    }
    CHECK(failures > 0);
    CHECK(same_bits(y, layer.expected({1, 4, 4})));
}

TEST_CASE("explain says which algorithm is taken, and of each other one why not") {
    const Layer layer;
    const std::pair<Algorithm, const char*> named[] = {{Algorithm::reference, "reference"},
                                                       {Algorithm::im2col, "im2col"},
                                                       {Algorithm::implicit, "implicit"},
                                                       {Algorithm::channels, "channels"},
                                                       {Algorithm::direct, "direct"}};
    const auto occurrences = [](const std::string& text, const std::string& part) {
        int count = 0;
        for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
        return count;
    };
    const auto explain = [&](Algorithm algorithm, std::size_t limit = std::numeric_limits<std::size_t>::max()) {
        Options options;
        options.algorithm = algorithm;
        options.workspace_limit = limit;
        options.threads = 1;
        std::string text;
        REQUIRE(layer.packed.explain(1, {1, 30, 40}, text, options));
        CAPTURE(text);
        CHECK(text.find("isa ") == 0);
        CHECK(text.find("1 thread\n") != std::string::npos);
        CHECK(occurrences(text, "\n") == 6);
        CHECK(occurrences(text, "\n  not ") == 4);
        for (const auto& [id, name] : named) CHECK(occurrences(text, std::string(name) + ": ") == 1);
        return text;
    };
    for (const auto& [id, name] : named) {
        const std::string text = explain(id);
        CHECK(occurrences(text, std::string("not ") + name + ": ") == 0);
        // The others are not slower, or faster: nobody asked.
        CHECK(occurrences(text, "; slower") == 0);
        CHECK(occurrences(text, "; another is named") == 4);
    }
    const std::string text = explain(Algorithm::automatic);
    CHECK(occurrences(text, "; slower") == 2);
    CHECK(occurrences(text, "; only when named") == 2);
    // Under a tight limit, the plan is one of smaller bands: its workspace fits.
    std::size_t bytes = 0;
    REQUIRE(layer.packed.workspace_bytes(1, {1, 30, 40}, bytes));
    const std::string tight = explain(Algorithm::automatic, bytes / 2);
    CHECK(tight != text);
    std::string empty;
    REQUIRE(layer.packed.explain(0, {1, 30, 40}, empty));
    CHECK(empty.find("nothing to compute") == 0);
}
