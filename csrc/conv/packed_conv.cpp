// Layers that are packed once: their weights, and their plans by shape.
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "conv/call.hpp"
#include "conv/layer_weights.hpp"
#include "conv/runtime.hpp"
#include "conv/status.hpp"
#include "conv/transposed.hpp"
#include "cpu/dispatch.hpp"

namespace flatconv {

namespace {

/// All that two calls of one layer must have in common to share a plan.
struct PlanKey {
    std::int64_t batch;
    Extent input;
    Algorithm algorithm;
    std::size_t workspace_limit;
    int threads;
    int participants;
    DType x_dtype;
    bool x_aligned, x_pixels_dense, y_in_rows, x_halves_dense, y_halves_dense, adds_halves, channels_innermost,
        channels_dense;

    friend bool operator==(const PlanKey& a, const PlanKey& b) {
        return a.batch == b.batch && a.input == b.input && a.algorithm == b.algorithm &&
               a.workspace_limit == b.workspace_limit && a.threads == b.threads && a.participants == b.participants &&
               a.x_aligned == b.x_aligned && a.x_pixels_dense == b.x_pixels_dense && a.y_in_rows == b.y_in_rows &&
               a.x_dtype == b.x_dtype && a.x_halves_dense == b.x_halves_dense && a.y_halves_dense == b.y_halves_dense &&
               a.adds_halves == b.adds_halves && a.channels_innermost == b.channels_innermost &&
               a.channels_dense == b.channels_dense;
    }
};

/// The plans of the shapes that a layer was last called with.
class PlanCache {
  public:
    using Plan = std::shared_ptr<const ConvPlan>;

    Plan find(const PlanKey& key) {
        const std::lock_guard lock(mutex_);
        const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
        if (found == entries_.end()) return nullptr;
        // The one that is used stays longest.
        std::rotate(entries_.begin(), found, found + 1);
        return entries_.front().plan;
    }

    void insert(const PlanKey& key, Plan plan) {
        const std::lock_guard lock(mutex_);
        if (entries_.size() == most_plans) entries_.pop_back();
        entries_.insert(entries_.begin(), {key, std::move(plan)});
    }

  private:
    struct Entry {
        PlanKey key;
        Plan plan;
    };
    static constexpr std::size_t most_plans = 16;

    std::mutex mutex_;
    std::vector<Entry> entries_;
};

/// What a PackedConv holds.
struct PackedLayer {
    ConvProblem problem;
    Task task;
    LayerWeights weights;
    PlanCache plans;

    explicit PackedLayer(const ConvProblem& described)
        : problem(described), task(described.transposed ? Task::transpose : Task::convolution) {}

    /// Describes a call, and finds its plan or makes it. `made` stays null where there is nothing to compute.
    Status plan_for(const ConvProblem& called, const Options& options, PlanRequest& request, PlanCache::Plan& made) {
        const PlanKey key{called.batch,           called.input,
                          options.algorithm,      options.workspace_limit,
                          request.threads,        request.participants,
                          request.x_dtype,        request.x_aligned,
                          request.x_pixels_dense, request.y_in_rows,
                          request.x_halves_dense, request.y_halves_dense,
                          request.adds_halves,    request.channels_innermost,
                          request.channels_dense};
        made = plans.find(key);
        if (made) return {};
        std::unique_ptr<ConvPlan> chosen;
        if (Status status = plan(task, request, options, chosen); !status) return status;
        made = std::move(chosen);
        plans.insert(key, made);
        return {};
    }

    /// A call of which only the arrays' strides are known.
    void describe_strides(const ConstArray& x, const Array& y, PlanRequest& request) const {
        ConvArrays arrays;
        describe_layouts(task, {x, weights.weight(), weights.bias(), {}}, y, weights.parts(), request, arrays);
    }

    Status describe_call(const ConvProblem& called, const Options& options, PlanRequest& request) const {
        if (Status status = describe(task, called, options, request); !status) return status;
        request.kernels = weights.kernels();
        request.weights = WeightForm::packed;
        return {};
    }
};

Status not_packed() { return {StatusCode::invalid_argument, "the PackedConv is empty: pack weights into it first"}; }

}  // namespace

inline namespace v0 {

struct PackedConv::Layer : PackedLayer {
    using PackedLayer::PackedLayer;
};

PackedConv::~PackedConv() { delete layer_; }

PackedConv::PackedConv(PackedConv&& other) noexcept : layer_(std::exchange(other.layer_, nullptr)) {}

PackedConv& PackedConv::operator=(PackedConv&& other) noexcept {
    std::swap(layer_, other.layer_);
    return *this;
}

Status PackedConv::pack(const ConvProblem& problem, const ConstArray& weight, const ConstArray& bias,
                        PackedConv& packed, const Options& options) noexcept {
    return guarded([&]() -> Status {
        ConvShape shape;
        if (Status status = check_threads(options); !status) return status;
        if (Status status = make_layer_shape(problem, shape); !status) return status;
        const KernelSet* const kernels = current_kernel_set();
        if (!kernels) return unusable_isa();
        const WeightSizes sizes = weight_sizes(shape);
        if (sizes.rows() * sizes.depth() > 0 && !weight.data) return {StatusCode::invalid_argument, "weight is null"};
        if (!can_hold(problem.dtype, weight.stored)) return wrongly_stored("weight");
        if (!can_hold(problem.dtype, bias.stored)) return wrongly_stored("bias");
        const DType dtype = real_dtype(problem.dtype);
        ConstArray strided = with_type(weight, dtype), strided_bias = with_type(bias, dtype);
        const auto bytes_of = [&](const ConstArray& array) { return shape.parts * element_bytes(array.stored); };
        if (weight.dense) {
            strided.byte_strides = dense_strides(sizes.in_channels / shape.parts, sizes.kernel, bytes_of(strided));
        }
        if (bias.dense) strided_bias.byte_strides = {bytes_of(strided_bias)};
        auto layer = std::make_unique<Layer>(problem);
        const int threads = threads_for(options, double(sizes.rows()) * double(sizes.depth()));
        const int participants = participants_for(options, threads);
        Status packing;
        const Status running = with_runtime(options, [&](const Runtime& runtime) {
            packing = layer->weights.pack(layer->task, shape, dtype, *kernels, strided, strided_bias,
                                          {runtime, participants});
        });
        if (!packing) return packing;
        if (!running) return running;
        delete std::exchange(packed.layer_, layer.release());
        return {};
    });
}

ConvProblem PackedConv::problem(std::int64_t batch, const Extent& input) const noexcept {
    ConvProblem called;
    if (layer_) called = layer_->problem;
    called.batch = batch;
    called.input = input;
    return called;
}

Status PackedConv::run(std::int64_t batch, const Extent& input, const ConstArray& x, const Array& y,
                       const ConstArray& residual, const Options& options) const noexcept {
    return guarded([&]() -> Status {
        if (!layer_) return not_packed();
        const ConvProblem called = problem(batch, input);
        const LayerWeights& weights = layer_->weights;
        PlanRequest request;
        ConvArrays arrays;
        PlanCache::Plan plan;
        if (Status status = layer_->describe_call(called, options, request); !status) return status;
        if (writes_nothing(layer_->task, request.shape)) return {};
        if (Status status = describe_arrays(layer_->task, {x, weights.weight(), weights.bias(), residual}, y,
                                            weights.parts(), {}, request, arrays);
            !status) {
            return status;
        }
        if (Status status = layer_->plan_for(called, options, request, plan); !status) return status;
        return flatconv::run(*plan, arrays, options);
    });
}

Status PackedConv::workspace_bytes(std::int64_t batch, const Extent& input, std::size_t& bytes, const Options& options,
                                   const ConstArray& x, const Array& y) const noexcept {
    return guarded([&]() -> Status {
        if (!layer_) return not_packed();
        const ConvProblem called = problem(batch, input);
        PlanRequest request;
        PlanCache::Plan plan;
        if (Status status = layer_->describe_call(called, options, request); !status) return status;
        bytes = 0;
        if (writes_nothing(layer_->task, request.shape)) return {};
        layer_->describe_strides(x, y, request);
        if (Status status = layer_->plan_for(called, options, request, plan); !status) return status;
        bytes = workspace_of(*plan);
        return {};
    });
}

Status PackedConv::explain(std::int64_t batch, const Extent& input, std::string& text, const Options& options,
                           const ConstArray& x, const Array& y) const noexcept {
    return guarded([&]() -> Status {
        if (!layer_) return not_packed();
        const ConvProblem called = problem(batch, input);
        PlanRequest request;
        if (Status status = layer_->describe_call(called, options, request); !status) return status;
        if (writes_nothing(layer_->task, request.shape)) {
            text = "nothing to compute: the result is empty";
            return {};
        }
        layer_->describe_strides(x, y, request);
        const auto explained = layer_->task == Task::transpose ? explain_transposed : explain_choice;
        return explained(request, options.algorithm, options.workspace_limit, text);
    });
}

}  // namespace v0
}  // namespace flatconv
