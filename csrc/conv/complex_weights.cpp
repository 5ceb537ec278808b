// The real weights of complex ones, before a task of real numbers; complex gradients of real ones, after it.
#include "conv/complex_weights.hpp"

#include <cstring>
#include <type_traits>
#include <utility>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"

namespace flatconv {

namespace {

/// A plan for the real task, with real weights in memory before that plan's own.
template <typename T>
class ComplexPlan : public ConvPlan {
  public:
    ComplexPlan(const PlanRequest& request, std::int64_t row_stride)
        : request_(request), sizes_(complex_weight_sizes(request.shape)), row_stride_(row_stride) {}

    /// Plans the real task in what the limit leaves.
    Status plan_real(PlanTask plan_task, Algorithm wanted, std::size_t workspace_limit) {
        PlanRequest real = request_;
        real.weights = WeightForm::rows;
        own_bytes_ = std::size_t(round_up(weight_sizes(request_.shape).rows() * row_stride_ * std::int64_t(sizeof(T)),
                                          std::int64_t(cache_line)));
        real.reserved_bytes += own_bytes_;
        if (Status status = plan_task(real, wanted, workspace_limit, plan_); !status) return status;
        if (needs_no_real_weights(*plan_)) {
            makes_real_weights_ = false;
            own_bytes_ = 0;
        }
        if (workspace_bytes() + request_.reserved_bytes <= workspace_limit) return {};
        return {StatusCode::out_of_memory, "workspace_limit of " + std::to_string(workspace_limit) +
                                               " bytes is too small: these complex numbers need " +
                                               std::to_string(workspace_bytes() + request_.reserved_bytes)};
    }

    double cycles() const override { return plan_->cycles(); }
    std::size_t workspace_bytes() const override { return own_bytes_ + plan_->workspace_bytes(); }

  protected:
    /// Whether the real task makes its own of the complex ones, as they lie.
    virtual bool needs_no_real_weights(const ConvPlan&) const { return false; }

    /// body(row) for every row of the complex weights, shared out.
    template <typename Body>
    void for_each_row(const Runtime& runtime, const Body& body) const {
        parallel::for_each_task(
            runtime.executor, request_.participants, sizes_.rows(), [&](int, std::int64_t row) { body(row); },
            &runtime.cancellation);
    }

    bool makes_real_weights() const { return makes_real_weights_; }

    /// Runs the real task behind the weights.
    void run_real(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const {
        if (!runtime.cancellation.stopped()) plan_->run(arrays, runtime, workspace + own_bytes_);
    }

    ByteStrides real_strides() const {
        ByteStrides strides = dense_strides(request_.shape.in_channels, sizes_.kernel, std::int64_t(sizeof(T)));
        strides[0] = row_stride_ * std::int64_t(sizeof(T));
        return strides;
    }

    const PlanRequest request_;
    const WeightSizes sizes_;  // of the complex weights
    const std::int64_t row_stride_;

  private:
    bool makes_real_weights_ = true;  // even if they are none
    std::size_t own_bytes_ = 0;
    std::unique_ptr<ConvPlan> plan_;
};

template <typename T>
class WeightsPlan final : public ComplexPlan<T> {
  public:
    explicit WeightsPlan(const PlanRequest& request)
        : ComplexPlan<T>(request, packed_row_stride<T>(request.shape.depth)) {}

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        if (!this->makes_real_weights()) {
            ConvArrays complex = arrays;
            complex.weight.stored = std::is_same_v<T, float> ? DType::complex64 : DType::complex128;
            return this->run_real(complex, runtime, workspace);
        }
        T* const rows = reinterpret_cast<T*>(workspace);
        this->for_each_row(runtime, [&](std::int64_t row) {
            expand_row(this->sizes_, arrays.weight, row, this->request_.conjugates, rows + 2 * row * this->row_stride_,
                       std::ptrdiff_t(this->row_stride_));
        });
        ConvArrays real = arrays;
        real.weight = {rows, this->real_strides()};
        this->run_real(real, runtime, workspace);
    }

  protected:
    bool needs_no_real_weights(const ConvPlan& plan) const override {
        return plan.reads_complex_weights() && this->request_.weights == WeightForm::rows && !this->request_.conjugates;
    }
};

template <typename T>
class WeightGradientPlan final : public ComplexPlan<T> {
  public:
    explicit WeightGradientPlan(const PlanRequest& request) : ComplexPlan<T>(request, request.shape.depth) {}

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        ConvArrays real = arrays;
        real.y = {workspace, this->real_strides()};
        this->run_real(real, runtime, workspace);
        if (runtime.cancellation.stopped()) return;
        this->for_each_row(runtime, [&](std::int64_t row) {
            write_row(reinterpret_cast<const T*>(workspace) + 2 * row * this->row_stride_, row, arrays.y);
        });
    }

  private:
    /// Each number stood in four places of the real weights, in one of them negated.
    void write_row(const T* rows, std::int64_t row, const Array& dweight) const {
        const WeightSizes& sizes = this->sizes_;
        const auto [kernel_d, kernel_h, kernel_w] = sizes.kernel;
        const std::int64_t taps = kernel_d * kernel_h * kernel_w;
        const ByteStrides& strides = dweight.byte_strides;
        std::byte* const to = static_cast<std::byte*>(dweight.data) + row * strides[0];
        const T *real = rows, *imaginary = rows + this->row_stride_;
        for (std::int64_t c = 0; c < sizes.in_channels; ++c, real += taps, imaginary += taps) {
            for (std::int64_t tap = 0; tap < taps; ++tap, ++real, ++imaginary) {
                const T sum = real[0] + imaginary[taps], difference = imaginary[0] - real[taps];
                const T w[2] = {sum, this->request_.conjugates ? real[taps] - imaginary[0] : difference};
                const std::int64_t kd = tap / (kernel_h * kernel_w), kh = tap / kernel_w % kernel_h;
                std::memcpy(to + c * strides[1] + kd * strides[2] + kh * strides[3] + tap % kernel_w * strides[4], w,
                            sizeof w);
            }
        }
    }
};

template <template <typename> class Plan, typename T>
Status plan_complex(PlanTask plan_task, const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
                    std::unique_ptr<ConvPlan>& chosen) {
    auto plan = std::make_unique<Plan<T>>(request);
    if (Status status = plan->plan_real(plan_task, wanted, workspace_limit); !status) return status;
    chosen = std::move(plan);
    return {};
}

}  // namespace

Status plan_complex_weights(PlanTask plan_task, PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                            std::unique_ptr<ConvPlan>& chosen) {
    const auto plan =
        request.dtype == DType::float32 ? plan_complex<WeightsPlan, float> : plan_complex<WeightsPlan, double>;
    return plan(plan_task, request, wanted, workspace_limit, chosen);
}

Status plan_complex_weight_gradient(PlanTask plan_task, PlanRequest request, Algorithm wanted,
                                    std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen) {
    const auto plan = request.dtype == DType::float32 ? plan_complex<WeightGradientPlan, float>
                                                      : plan_complex<WeightGradientPlan, double>;
    return plan(plan_task, request, wanted, workspace_limit, chosen);
}

}  // namespace flatconv
