// Convolutions of bytes: checks, the plan, the public entries.
#include <cmath>
#include <cstdio>
#include <string>

#include "conv/byte_conv.hpp"
#include "conv/byte_image_product.hpp"
#include "conv/byte_product.hpp"
#include "conv/call.hpp"
#include "conv/limited_plan.hpp"

namespace flatconv {

namespace {

Status invalid(std::string message) { return {StatusCode::invalid_argument, std::move(message)}; }

// ---------------------------------------------------------------------------------------------------------------------
// Checks

Status check_type(const char* name, ByteType type) {
    if (type == ByteType::int8 || type == ByteType::uint8) return {};
    return invalid(std::string(name) + " is not one of ByteType: " + std::to_string(int(type)));
}

int least_of(ByteType type) { return type == ByteType::int8 ? -128 : 0; }

bool is_zero_point(ByteType type, std::int32_t value) {
    return value >= least_of(type) && value <= least_of(type) + 255;
}

Status check_zero_point(const std::string& name, ByteType type, std::int32_t value) {
    if (is_zero_point(type, value)) return {};
    return invalid(name + " must be a number of " + (type == ByteType::int8 ? "int8" : "uint8") + ", from " +
                   std::to_string(least_of(type)) + " to " + std::to_string(least_of(type) + 255) + ", got " +
                   std::to_string(value));
}

bool is_scale(float value) { return value > 0 && std::isfinite(value); }

Status check_scale(const std::string& name, float value) {
    if (is_scale(value)) return {};
    char text[32];
    std::snprintf(text, sizeof text, "%g", double(value));
    return invalid(name + " must be a positive number, got " + text);
}

/// An element of an array; where all channels have the same one, that itself.
std::string element_of(const char* name, const ConstArray& array, std::int64_t index) {
    return array.byte_strides[0] == 0 ? name : std::string(name) + "[" + std::to_string(index) + "]";
}

Status check_problem(const ConvProblem& problem) {
    if (problem.transposed) return invalid("a convolution of bytes must not be transposed");
    if (problem.activation.kind != Activation::none) return invalid("a convolution of bytes has no activation");
    if (problem.padding_mode != PaddingMode::zeros) return invalid("a convolution of bytes has padding_mode zeros");
    return {};
}

Status check_inputs(const ByteInputs& inputs, std::int64_t rows) {
    if (Status status = check_type("x_type", inputs.x_type); !status) return status;
    if (Status status = check_type("weight_type", inputs.weight_type); !status) return status;
    if (Status status = check_zero_point("x_zero_point", inputs.x_type, inputs.x_zero_point); !status) return status;
    const ConstArray& zeros = inputs.weight_zero_points;
    for (std::int64_t row = 0; zeros.data && row < rows; ++row) {
        const auto value = load<std::int32_t>(zeros.data, row * zeros.byte_strides[0]);
        if (is_zero_point(inputs.weight_type, value)) continue;
        return check_zero_point(element_of("weight_zero_point", zeros, row), inputs.weight_type, value);
    }
    return {};
}

Status check_requantization(const ByteCall& call, std::int64_t rows) {
    const Requantization& given = *call.requantization;
    if (Status status = check_type("y_type", given.y_type); !status) return status;
    if (Status status = check_scale("x_scale", given.x_scale); !status) return status;
    if (Status status = check_scale("y_scale", given.y_scale); !status) return status;
    if (Status status = check_zero_point("y_zero_point", given.y_type, given.y_zero_point); !status) return status;
    for (std::int64_t row = 0; row < rows; ++row) {
        if (given.weight_scales.data) {
            const auto value = load<float>(given.weight_scales.data, row * given.weight_scales.byte_strides[0]);
            if (!is_scale(value)) return check_scale(element_of("weight_scale", given.weight_scales, row), value);
        }
        if (!std::isfinite(call.scale(row))) {
            return invalid("x_scale * weight_scale / y_scale overflows in output channel " + std::to_string(row));
        }
    }
    return {};
}

// ---------------------------------------------------------------------------------------------------------------------
// The plan

/// The same request with channels counted in words, and sums kept for all pixels.
PlanRequest in_words(PlanRequest request) {
    ConvShape& shape = request.shape;
    shape.in_channels = ceil_div(shape.in_channels, request.kernels->bytes.group);
    shape.depth = shape.in_channels * shape.taps;
    request.x_pixels_dense = request.y_in_rows = false;
    return request;
}

class BytePlan final : public ConvPlan {
  public:
    BytePlan(const PlanRequest& request, const ByteCall& call)
        : request_(request),
          call_(call),
          blocking_(in_words(request), Packing::crossing),
          workspaces_(
              blocking_.participants, [&](Carver& carver) { ByteOperands(request_, call_, carver); },
              [&](Carver& carver) { ByteWorkspace(blocking_, call_.needs_region_sums, carver); }) {}

    double cycles() const override { return blocking_.cycles(); }

    std::size_t workspace_bytes() const override { return workspaces_.bytes(); }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        Carver shared(workspace);
        const ByteOperands operands(request_, call_, shared);
        operands.pack(arrays.weight, blocking_.participants, runtime);
        const auto workspace_of = [&](int participant) {
            Carver own = workspaces_.own(workspace, participant);
            return ByteWorkspace(blocking_, call_.needs_region_sums, own);
        };
        for (int p = 0; p < blocking_.participants; ++p) workspace_of(p).words.prepare(blocking_);
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.tasks(),
            [&](int participant, std::int64_t index) {
                const ByteWorkspace own = workspace_of(participant);
                ByteTask(blocking_, request_.kernels->bytes, request_.shape.in_channels, call_, arrays, operands, own,
                         index)
                    .run(runtime.cancellation);
            },
            &runtime.cancellation);
    }

  private:
    const PlanRequest request_;
    const ByteCall& call_;
    const WordBlocking blocking_;
    const Workspaces workspaces_;
};

/// Of single channels that are read from the image, without memory of its own.
class ByteImagePlan final : public ConvPlan {
  public:
    ByteImagePlan(const PlanRequest& request, const ByteCall& call)
        : kernels_(request.kernels->bytes), call_(call), blocking_(request) {}

    double cycles() const override { return blocking_.cycles(); }
    std::size_t workspace_bytes() const override { return 0; }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte*) const override {
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.tasks(),
            [&](int, std::int64_t index) {
                ByteImageTask(blocking_, kernels_, call_, arrays, index).run(runtime.cancellation);
            },
            &runtime.cancellation);
    }

  private:
    const ByteKernels& kernels_;
    const ByteCall& call_;
    const ByteImageBlocking blocking_;
};

/// Without `y`, where it lies is not known, and the plan is one for any.
Status plan_bytes(const PlanRequest& request, const ByteCall& call, const Array* y, const Options& options,
                  std::unique_ptr<ConvPlan>& chosen) {
    if (options.algorithm != Algorithm::automatic) return invalid("a convolution of bytes has one algorithm");
    if (y && ByteImageTask::suits(request, call, *y)) {
        chosen = std::make_unique<ByteImagePlan>(request, call);
        return {};
    }
    return plan_within(
        request, options.workspace_limit, "convolution",
        [&](const PlanRequest& smaller) { return std::make_unique<BytePlan>(smaller, call); }, chosen);
}

// ---------------------------------------------------------------------------------------------------------------------
// A call

/// Describes a call with the problem's own sums: those of floats have their size.
Status describe_bytes(ConvProblem problem, const Options& options, PlanRequest& request) {
    if (Status status = check_problem(problem); !status) return status;
    problem.dtype = DType::float32;
    return describe(Task::convolution, problem, options, request);
}

Status convolve(const ConvProblem& problem, const ByteInputs& inputs, const Requantization* given, const Array& y,
                const Options& options) {
    PlanRequest request;
    if (Status status = describe_bytes(problem, options, request); !status) return status;
    const ConvShape& shape = request.shape;
    const std::int64_t rows = shape.groups * shape.out_channels, channels = shape.groups * shape.in_channels;
    Requantization requantization;
    if (given) {
        requantization = *given;
        requantization.weight_scales = with_strides(given->weight_scales, sizeof(float));
        requantization.bias = with_strides(given->bias, sizeof(std::int32_t));
    }
    ByteCall call{inputs, given ? &requantization : nullptr, false};
    call.inputs.x = with_strides(inputs.x, channels, shape.input, 1);
    call.inputs.weight = with_strides(inputs.weight, shape.in_channels, shape.kernel, 1);
    call.inputs.weight_zero_points = with_strides(inputs.weight_zero_points, sizeof(std::int32_t));
    if (Status status = check_inputs(call.inputs, rows); !status) return status;
    if (given) {
        if (Status status = check_requantization(call, rows); !status) return status;
    }
    if (writes_nothing(Task::convolution, shape)) return {};
    const bool packed = false;
    if (Status status = check_no_null(Task::convolution, shape, inputs.x, inputs.weight, y, packed, {}); !status) {
        return status;
    }
    for (std::int64_t row = 0; row < rows && !call.needs_region_sums; ++row) {
        call.needs_region_sums = call.weight_zero_point(row) != 0;
    }
    const ConvArrays arrays{call.inputs.x,
                            call.inputs.weight,
                            {},
                            {},
                            with_strides(y, rows, shape.output, given ? 1 : sizeof(std::int32_t)),
                            nullptr};
    std::unique_ptr<ConvPlan> chosen;
    if (Status status = plan_bytes(request, call, &arrays.y, options, chosen); !status) return status;
    return run(*chosen, arrays, options);
}

}  // namespace

Status byte_workspace(const ConvProblem& problem, bool requantizes, const Options& options, std::size_t& bytes) {
    PlanRequest request;
    if (Status status = describe_bytes(problem, options, request); !status) return status;
    bytes = 0;
    if (writes_nothing(Task::convolution, request.shape)) return {};
    const Requantization requantization;
    const ByteCall call{{}, requantizes ? &requantization : nullptr, true};
    std::unique_ptr<ConvPlan> chosen;
    Status status = plan_bytes(request, call, nullptr, options, chosen);
    if (status) bytes = workspace_of(*chosen);
    return status;
}

inline namespace v0 {

Status conv_integer(const ConvProblem& problem, const ByteInputs& inputs, const Array& y,
                    const Options& options) noexcept {
    return guarded([&] { return convolve(problem, inputs, nullptr, y, options); });
}

Status qlinear_conv(const ConvProblem& problem, const ByteInputs& inputs, const Requantization& requantization,
                    const Array& y, const Options& options) noexcept {
    return guarded([&] { return convolve(problem, inputs, &requantization, y, options); });
}

}  // namespace v0
}  // namespace flatconv
