// Chooses how a transposed convolution is computed: all phases of its output together, or one by one, as the ordinary
// convolutions that they are. Those read x and the weights where they lie, and write their outputs where they belong,
// `stride` apart.
#include "conv/transposed.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "conv/transposed_phases.hpp"
#include "gemm/weights.hpp"
#include "problem/messages.hpp"

namespace flatconv {

namespace {

/// Phases of as many taps and outputs, the first of which read pixels at the same distance, are computed alike.
struct PhasePlan {
    ConvShape shape;
    std::int64_t phases = 0;
    std::unique_ptr<ConvPlan> plan{};
};

using PhaseKey = std::array<Extent, 3>;

PhaseKey key_of(const Phase& phase) {
    PhaseKey key;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        const AxisPhase& along = phase.axes[axis];
        key[axis] = {along.taps, along.outputs, along.pad_before};
    }
    return key;
}

class TransposedPlan final : public ConvPlan {
  public:
    TransposedPlan(PlanRequest request, Algorithm wanted, WorkspaceLimit& limit, bool& fits)
        : shape_(request.shape), dtype_(request.dtype) {
        if (request.weights != WeightForm::packed) request.weights = WeightForm::strided;
        plan_together(request, wanted, limit);
        fits = plan_phases(request, wanted, limit);
        if (!together_) return;
        // Phases one by one may need less memory, or be fewer multiply-adds of vectors that are not full.
        if (fits && wanted == Algorithm::automatic && phase_cycles_ < together_->cycles()) {
            together_.reset();
        } else {
            fits = true;
            phases_.clear();
            nothing_.reset();
        }
    }

    double cycles() const override { return together_ ? together_->cycles() : phase_cycles_; }

    std::size_t workspace_bytes() const override { return together_ ? together_->workspace_bytes() : phase_bytes_; }

    std::string describe() const override {
        if (together_) return together_->describe();
        std::vector<std::pair<std::string, std::int64_t>> ways;
        std::int64_t phases = 0;
        for (const auto& [key, alike] : phases_) {
            phases += alike.phases;
            std::string way = alike.plan->describe();
            const auto known =
                std::find_if(ways.begin(), ways.end(), [&](const auto& each) { return each.first == way; });
            if (known == ways.end()) {
                ways.emplace_back(std::move(way), alike.phases);
            } else {
                known->second += alike.phases;
            }
        }
        std::string text = counted(phases, "phase");
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
        std::size_t packed_part = 0;  // of a layer's weights that were packed before
        for_each_phase(shape_, [&](const Phase& phase) {
            const std::size_t part = packed_part++;
            if (phase.pixels() == 0 || runtime.cancellation.stopped()) return;
            const PhasePlan& alike = phases_.find(key_of(phase))->second;
            alike.plan->run(arrays_of(phase, part, alike.shape, all), runtime, workspace);
        });
    }

  private:
    /// All phases at once, with lanes across channels or across pixels; leaves null where no way suits.
    void plan_together(PlanRequest request, Algorithm wanted, WorkspaceLimit& limit) {
        request.shape = transposed(shape_);
        const auto consider = [&](Algorithm algorithm, std::unique_ptr<ConvPlan> (*plan)(const PlanRequest&)) {
            if (wanted != Algorithm::automatic && wanted != algorithm) return;
            std::unique_ptr<ConvPlan> candidate = plan(request);
            if (!candidate || !limit.allows(candidate->workspace_bytes() + request.reserved_bytes)) return;
            if (!together_ || candidate->cycles() < together_->cycles()) together_ = std::move(candidate);
        };
        consider(Algorithm::channels, plan_all_phases);
        consider(Algorithm::implicit, plan_interleaved_phases);
        consider(Algorithm::direct, plan_transposed_images);
    }

    /// Each phase as the ordinary convolution that it is. There may be millions, but few kinds of them.
    bool plan_phases(PlanRequest part, Algorithm wanted, WorkspaceLimit& limit) {
        // Outputs of a phase lie a stride apart.
        part.y_in_rows = part.y_in_rows && shape_.stride == Extent{1, 1, 1};
        part.y_halves_dense = part.y_halves_dense && shape_.stride == Extent{1, 1, 1};
        SharedWorkspace shared(limit);
        const auto plan = [&](const ConvShape& shape, std::int64_t phases, std::unique_ptr<ConvPlan>& chosen) {
            part.shape = shape;
            return shared.include([&](WorkspaceLimit& own) {
                if (!choose_within(part, wanted, own, chosen)) return false;
                phase_cycles_ += double(phases) * chosen->cycles();
                phase_bytes_ = std::max(phase_bytes_, chosen->workspace_bytes());
                return true;
            });
        };
        bool goes_on = phases_cover_output(shape_) || plan(sums_of_nothing(), 1, nothing_);
        for_each_phase(shape_, [&](const Phase& phase) {
            if (phase.pixels() == 0) return;
            const auto found = phases_.find(key_of(phase));
            PhasePlan& alike =
                found == phases_.end() ? phases_[key_of(phase)] = {phase.shape_of(shape_)} : found->second;
            ++alike.phases;
        });
        for (auto& [key, alike] : phases_) {
            if (!goes_on) break;
            const ConvShape& shape = alike.shape;
            goes_on = plan(shape, alike.phases, alike.plan);
            const double rows = double(alike.phases) * double(shape.groups * shape.out_channels);
            if (shape_.stride != Extent{1, 1, 1}) {
                phase_cycles_ += alone * rows * double(shape_.batch) * double(shape.pixels);
            }
            // Of a single phase, those of a single channel lie as they are read.
            const bool in_order = shape_.stride == Extent{1, 1, 1} && shape.in_channels == 1;
            if (part.weights != WeightForm::packed && !in_order) {
                phase_cycles_ += alone * rows * double(shape.depth);
            }
        }
        return !shared.refused() || limit.allows(shared.needed());
    }

    /// Cycles for a weight, or an output, that is read or written alone, because its neighbours are of other phases.
    static constexpr double alone = 20;

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

    ConvArrays arrays_of(const Phase& phase, std::size_t packed_part, const ConvShape& shape,
                         const ConvArrays& arrays) const {
        ConvArrays part = arrays;
        if (arrays.packed) {
            part.packed += packed_part;
            // What packed rows hold is what is computed with.
            const std::int64_t bytes = computes_in_float(dtype_) ? sizeof(float) : sizeof(double);
            part.weight = {part.packed->rows, dense_strides(shape.in_channels, shape.kernel, bytes)};
            part.weight.byte_strides[0] = part.packed->row_stride * bytes;
        } else {
            part.weight = weights_of(phase, part.weight);
        }
        part.y.data = static_cast<std::byte*>(arrays.y.data) + step_to(phase, part.y.byte_strides);
        if (arrays.residual.data) {
            part.residual.data =
                static_cast<const std::byte*>(arrays.residual.data) + step_to(phase, part.residual.byte_strides);
        }
        return part;
    }

    /// Makes the strides of y those of a phase, and tells how far its first output is.
    std::int64_t step_to(const Phase& phase, ByteStrides& strides) const {
        std::int64_t offset = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            std::int64_t& stride = strides[axis + 2];
            offset += phase.axes[axis].first_output * stride;
            // A stride that leads to no second output may be of any size.
            if (phase.axes[axis].outputs > 1) stride *= shape_.stride[axis];
        }
        return offset;
    }

    const ConvShape shape_;
    const DType dtype_;
    std::unique_ptr<ConvPlan> together_;  // or the phases
    std::map<PhaseKey, PhasePlan> phases_;
    std::unique_ptr<ConvPlan> nothing_;
    std::size_t phase_bytes_ = 0;
    double phase_cycles_ = 0;
};

}  // namespace

bool plan_zero_padded(const PlanRequest& request, Algorithm wanted, WorkspaceLimit& limit,
                      std::unique_ptr<ConvPlan>& chosen) {
    // Of packed weights there are only those of the phases: the reference then computes each of them.
    if (wanted == Algorithm::reference && request.weights != WeightForm::packed) {
        chosen = plan_transposed_reference(request);
        return true;
    }
    bool fits = false;
    chosen = std::make_unique<TransposedPlan>(request, wanted, limit, fits);
    return fits;
}

}  // namespace flatconv
