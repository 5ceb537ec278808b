// What a call from C++ costs, with Google Benchmark: the worked example, where the call is all there is, and layers of
// networks. Results are comparable within one run; --benchmark_filter=example measures the overhead alone.
#include <benchmark/benchmark.h>
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace flatconv;

/// One convolution with "same" padding, batch 1; the names and the sizes are those of flatconv/_bench/vision.py.
struct Layer {
    const char* name;
    std::int64_t in_channels, out_channels, size, kernel, stride;
};

constexpr Layer layers[] = {
    {"ResNet-50 64 → 64 3×3 @56", 64, 64, 56, 3, 1},       {"ResNet-50 128 → 128 3×3 @28", 128, 128, 28, 3, 1},
    {"ResNet-50 256 → 256 3×3 @14", 256, 256, 14, 3, 1},   {"ResNet-50 512 → 512 3×3 @7", 512, 512, 7, 3, 1},
    {"ResNet-50 3 → 64 7×7/2 @224", 3, 64, 224, 7, 2},     {"ResNet-50 64 → 64 1×1 @56", 64, 64, 56, 1, 1},
    {"ResNet-50 256 → 512 1×1/2 @56", 256, 512, 56, 1, 2}, {"VGG-16 64 → 64 3×3 @224", 64, 64, 224, 3, 1},
};

std::vector<float> random_numbers(std::int64_t count) {
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(static_cast<std::size_t>(count));
    for (float& number : numbers) number = normal(generator);
    return numbers;
}

ConvProblem problem_of(const Layer& layer) {
    ConvProblem problem;
    problem.in_channels = layer.in_channels, problem.out_channels = layer.out_channels;
    problem.input = {1, layer.size, layer.size};
    problem.kernel = {1, layer.kernel, layer.kernel};
    problem.stride = {1, layer.stride, layer.stride};
    problem.padding = PaddingRule::same;
    return problem;
}

void run_layer(benchmark::State& state, const Layer& layer, bool is_packed, int threads) {
    const ConvProblem problem = problem_of(layer);
    Extent output{};
    if (Status status = output_size(problem, output); !status) return state.SkipWithError(status.message.c_str());
    const std::int64_t pixels = output[1] * output[2], depth = layer.in_channels * layer.kernel * layer.kernel;
    const std::vector<float> x = random_numbers(layer.in_channels * layer.size * layer.size);
    const std::vector<float> weight = random_numbers(layer.out_channels * depth);
    const std::vector<float> bias = random_numbers(layer.out_channels);
    std::vector<float> y(static_cast<std::size_t>(layer.out_channels * pixels));
    Options options;
    options.threads = threads;
    PackedConv packed;
    if (Status status = PackedConv::pack(problem, weight.data(), bias.data(), packed); !status) {
        return state.SkipWithError(status.message.c_str());
    }
    for ([[maybe_unused]] auto _ : state) {
        const Status status = is_packed ? packed.run(1, problem.input, x.data(), y.data(), {}, options)
                                        : conv(problem, {x.data(), weight.data(), bias.data()}, y.data(), options);
        if (!status) return state.SkipWithError(status.message.c_str());
        benchmark::ClobberMemory();
    }
    const double operations = 2.0 * double(layer.out_channels * pixels * depth);
    state.counters["FLOP/s"] =
        benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

const std::vector<float> image = {3, 3, 2, 1, 0, 0, 0, 1, 3, 1, 3, 1, 2, 2, 3, 2, 0, 0, 2, 2, 2, 0, 0, 0, 1};
const std::vector<float> kernel = {0, 1, 2, 2, 2, 0, 0, 1, 2};

/// 5×5 image, 3×3 kernel: 81 multiply-adds.
void worked_example(benchmark::State& state) {
    ConvProblem problem;
    problem.input = {1, 5, 5};
    problem.kernel = {1, 3, 3};
    std::vector<float> y(9);
    for ([[maybe_unused]] auto _ : state) {
        const Status status = conv(problem, {image.data(), kernel.data(), {}}, y.data());
        if (!status) return state.SkipWithError(status.message.c_str());
        benchmark::ClobberMemory();
    }
}

void worked_example_in_c(benchmark::State& state) {
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof(problem));
    problem.input[1] = problem.input[2] = 5;
    problem.kernel[1] = problem.kernel[2] = 3;
    std::vector<float> y(9);
    flatconv_arrays arrays{};
    arrays.struct_size = sizeof(arrays);
    arrays.x.data = image.data(), arrays.weight.data = kernel.data(), arrays.y.data = y.data();
    for ([[maybe_unused]] auto _ : state) {
        flatconv_status* status = flatconv_conv(&problem, &arrays, nullptr);
        if (status) {
            state.SkipWithError(flatconv_status_message(status));
            return flatconv_status_free(status);
        }
        benchmark::ClobberMemory();
    }
}

/// Packed before; with a workspace of the caller's, too, so that nothing is allocated.
void packed_example(benchmark::State& state, bool brings_workspace) {
    ConvProblem problem;
    problem.kernel = {1, 3, 3};
    PackedConv packed;
    if (Status status = PackedConv::pack(problem, kernel.data(), {}, packed); !status) {
        return state.SkipWithError(status.message.c_str());
    }
    Options options;
    if (Status status = packed.workspace_bytes(1, {1, 5, 5}, options.workspace_bytes); !status) {
        return state.SkipWithError(status.message.c_str());
    }
    std::vector<std::byte> workspace(options.workspace_bytes);
    if (brings_workspace) options.workspace = workspace.data();
    std::vector<float> y(9);
    for ([[maybe_unused]] auto _ : state) {
        const Status status = packed.run(1, {1, 5, 5}, image.data(), y.data(), {}, options);
        if (!status) return state.SkipWithError(status.message.c_str());
        benchmark::ClobberMemory();
    }
}

void packed_example_in_c(benchmark::State& state) {
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof(problem));
    problem.input[1] = problem.input[2] = 5;
    problem.kernel[1] = problem.kernel[2] = 3;
    const auto failed = [&](flatconv_status* status) {
        if (status) state.SkipWithError(flatconv_status_message(status));
        const bool is_error = status != nullptr;
        flatconv_status_free(status);
        return is_error;
    };
    flatconv_packed_conv* made = nullptr;
    if (failed(flatconv_packed_conv_create(&problem, {kernel.data(), nullptr}, {}, &made, nullptr))) return;
    const std::unique_ptr<flatconv_packed_conv, void (*)(flatconv_packed_conv*)> packed(made,
                                                                                        flatconv_packed_conv_free);
    std::vector<float> y(9);
    flatconv_arrays arrays;
    flatconv_arrays_init(&arrays, sizeof(arrays));
    arrays.x.data = image.data(), arrays.y.data = y.data();
    for ([[maybe_unused]] auto _ : state) {
        if (failed(flatconv_packed_conv_run(packed.get(), 1, problem.input, &arrays, nullptr))) return;
        benchmark::ClobberMemory();
    }
}

/// What a packed layer decides at the first call with a shape of x, and nothing else: shapes in turn, more than it
/// keeps.
void plan_of_a_new_shape(benchmark::State& state, const Layer& layer, int threads) {
    const ConvProblem problem = problem_of(layer);
    const std::vector<float> weight =
        random_numbers(layer.out_channels * layer.in_channels * layer.kernel * layer.kernel);
    PackedConv packed;
    if (Status status = PackedConv::pack(problem, weight.data(), {}, packed); !status) {
        return state.SkipWithError(status.message.c_str());
    }
    Options options;
    options.threads = threads;
    std::int64_t turn = 0;
    for ([[maybe_unused]] auto _ : state) {
        const Extent input{1, layer.size + turn % 64, layer.size};
        ++turn;
        std::size_t bytes = 0;
        if (Status status = packed.workspace_bytes(1, input, bytes, options); !status) {
            return state.SkipWithError(status.message.c_str());
        }
        benchmark::DoNotOptimize(bytes);
    }
}

BENCHMARK(worked_example);
BENCHMARK(worked_example_in_c);
BENCHMARK_CAPTURE(packed_example, allocating, false);
BENCHMARK_CAPTURE(packed_example, in_a_workspace, true);
BENCHMARK(packed_example_in_c);

}  // namespace

int main(int argc, char** argv) {
    for (const Layer& layer : layers) {
        benchmark::RegisterBenchmark((std::string("plan of ") + layer.name).c_str(), plan_of_a_new_shape, layer, 2);
        for (const bool is_packed : {true, false}) {
            for (const int threads : {1, 2}) {
                const std::string name = std::string(layer.name) + (is_packed ? "/packed" : "/plain") +
                                         "/threads:" + std::to_string(threads);
                benchmark::RegisterBenchmark(name.c_str(), run_layer, layer, is_packed, threads)->UseRealTime();
            }
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
