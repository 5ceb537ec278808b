// Chooses how a transposed convolution is computed: all phases of its output together, or one by one, as the ordinary
// convolutions that they are. Those read x and the weights where they lie, and write their outputs where they belong,
// `stride` apart.
#include "conv/transposed.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "conv/transposed_phases.hpp"
#include "gemm/weights.hpp"

namespace flatconv {

namespace {

struct PhasePlan {
    Phase phase;
    ConvShape shape;
    std::unique_ptr<ConvPlan> plan;
    std::size_t packed_part;  // of a layer's weights that were packed before
};

class TransposedPlan final : public ConvPlan {
  public:
    TransposedPlan(PlanRequest request, Algorithm wanted, std::size_t workspace_limit, Status& status)
        : shape_(request.shape), dtype_(request.dtype) {
        if (request.weights != WeightForm::packed) request.weights = WeightForm::strided;
        plan_together(request, wanted, workspace_limit);
        status = plan_phases(request, wanted, workspace_limit);
        if (!together_) return;
        // Phases one by one may need less memory, or be fewer multiply-adds of vectors that are not full.
        if (status && wanted == Algorithm::automatic && phase_cycles_ < together_->cycles()) {
            together_.reset();
        } else {
            status = {};
            phases_.clear();
            nothing_.reset();
        }
    }

    double cycles() const override { return together_ ? together_->cycles() : phase_cycles_; }

    std::size_t workspace_bytes() const override { return together_ ? together_->workspace_bytes() : phase_bytes_; }

    std::string describe() const override {
        if (together_) return together_->describe();
        std::string text = std::to_string(phases_.size()) + (phases_.size() == 1 ? " phase" : " phases");
        // Phases of as many taps and outputs, which are most, are computed alike.
        std::vector<std::pair<std::string, int>> ways;
        for (const PhasePlan& phase : phases_) {
            std::string way = phase.plan->describe();
            const auto known =
                std::find_if(ways.begin(), ways.end(), [&](const auto& each) { return each.first == way; });
            if (known == ways.end()) {
                ways.emplace_back(std::move(way), 1);
            } else {
                ++known->second;
            }
        }
        for (const auto& [way, count] : ways)
            text += (ways.size() == 1 ? ", each with " : "; " + std::to_string(count) + " with ") + way;
        return text;
    }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        ConvArrays all = arrays;
        std::swap(all.weight.byte_strides[0], all.weight.byte_strides[1]);  // (out, in, kernel...), in any order
        if (together_) return together_->run(all, runtime, workspace);
        // Outputs of phases without taps are the bias alone; the other phases write over what is not theirs.
        if (nothing_) nothing_->run(all, runtime, workspace);
        for (const PhasePlan& phase : phases_) {
            if (runtime.cancellation.stopped()) return;
            phase.plan->run(arrays_of(phase, all), runtime, workspace);
        }
    }

  private:
    /// All phases at once, with lanes across channels or across pixels; leaves null where no way suits.
    void plan_together(PlanRequest request, Algorithm wanted, std::size_t workspace_limit) {
        request.shape = transposed(shape_);
        const auto consider = [&](Algorithm algorithm, std::unique_ptr<ConvPlan> (*plan)(const PlanRequest&)) {
            if (wanted != Algorithm::automatic && wanted != algorithm) return;
            std::unique_ptr<ConvPlan> candidate = plan(request);
            if (!candidate || candidate->workspace_bytes() + request.reserved_bytes > workspace_limit) return;
            if (!together_ || candidate->cycles() < together_->cycles()) together_ = std::move(candidate);
        };
        consider(Algorithm::channels, plan_all_phases);
        consider(Algorithm::implicit, plan_interleaved_phases);
        consider(Algorithm::direct, plan_transposed_images);
    }

    /// Each phase as the ordinary convolution that it is.
    Status plan_phases(PlanRequest part, Algorithm wanted, std::size_t workspace_limit) {
        // Outputs of a phase lie a stride apart.
        part.y_in_rows = part.y_in_rows && shape_.stride == Extent{1, 1, 1};
        part.halves_dense = part.halves_dense && shape_.stride == Extent{1, 1, 1};
        if (!phases_cover_output(shape_)) {
            part.shape = sums_of_nothing();
            if (Status status = choose(part, wanted, workspace_limit, nothing_); !status) return status;
            include(*nothing_);
        }
        std::size_t index = 0;
        for_each_phase(shape_, [&](const Phase& phase) {
            const std::size_t packed_part = index++;
            if (phase.pixels() > 0) phases_.push_back({phase, phase.shape_of(shape_), nullptr, packed_part});
        });
        for (PhasePlan& phase : phases_) {
            part.shape = phase.shape;
            if (Status status = choose(part, wanted, workspace_limit, phase.plan); !status) return status;
            include(*phase.plan);
            if (shape_.stride != Extent{1, 1, 1}) {
                phase_cycles_ += alone * double(shape_.batch * phase.shape.groups * phase.shape.out_channels) *
                                 double(phase.shape.pixels);
            }
            if (part.weights == WeightForm::packed) continue;
            phase_cycles_ += alone * double(phase.shape.groups * phase.shape.out_channels) * double(phase.shape.depth);
        }
        return {};
    }

    /// Cycles for a weight, or an output, that is read or written alone, because its neighbours are of other phases.
    static constexpr double alone = 20;

    void include(const ConvPlan& plan) {
        phase_cycles_ += plan.cycles();
        phase_bytes_ = std::max(phase_bytes_, plan.workspace_bytes());
    }

    /// The whole output, from no channels.
    ConvShape sums_of_nothing() const {
        ConvShape nothing = transposed(shape_);
        nothing.in_channels = 0;
        nothing.input = nothing.kernel = nothing.stride = nothing.dilation = {1, 1, 1};
        nothing.pad_before = {0, 0, 0};
        nothing.padding_mode = PaddingMode::zeros;
        nothing.taps = 1;
        nothing.depth = 0;
        return nothing;
    }

    ConvArrays arrays_of(const PhasePlan& phase, const ConvArrays& arrays) const {
        ConvArrays part = arrays;
        if (arrays.packed) {
            part.packed += phase.packed_part;
            // What packed rows hold is what is computed with.
            const std::int64_t bytes = computes_in_float(dtype_) ? sizeof(float) : sizeof(double);
            part.weight = {part.packed->rows, dense_strides(phase.shape.in_channels, phase.shape.kernel, bytes)};
            part.weight.byte_strides[0] = part.packed->row_stride * bytes;
        } else {
            part.weight = weights_of(phase.phase, part.weight);
        }
        part.y.data = static_cast<std::byte*>(arrays.y.data) + step_to(phase, part.y.byte_strides);
        if (arrays.residual.data) {
            part.residual.data =
                static_cast<const std::byte*>(arrays.residual.data) + step_to(phase, part.residual.byte_strides);
        }
        return part;
    }

    /// Makes the strides of y those of a phase, and tells how far its first output is.
    std::int64_t step_to(const PhasePlan& phase, ByteStrides& strides) const {
        std::int64_t offset = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            std::int64_t& stride = strides[axis + 2];
            offset += phase.phase.axes[axis].first_output * stride;
            // A stride that leads to no second output may be of any size.
            if (phase.shape.output[axis] > 1) stride *= shape_.stride[axis];
        }
        return offset;
    }

    const ConvShape shape_;
    const DType dtype_;
    std::unique_ptr<ConvPlan> together_;  // or the phases
    std::vector<PhasePlan> phases_;
    std::unique_ptr<ConvPlan> nothing_;
    std::size_t phase_bytes_ = 0;
    double phase_cycles_ = 0;
};

}  // namespace

Status plan_zero_padded(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit,
                        std::unique_ptr<ConvPlan>& chosen) {
    // Of packed weights there are only those of the phases: the reference then computes each of them.
    if (wanted == Algorithm::reference && request.weights != WeightForm::packed) {
        chosen = plan_transposed_reference(request);
        return {};
    }
    Status status;
    chosen = std::make_unique<TransposedPlan>(request, wanted, workspace_limit, status);
    return status;
}

}  // namespace flatconv
