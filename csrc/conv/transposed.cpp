// Runs the phases of a transposed convolution as the ordinary convolutions that they are.
//
// The weights of all phases are brought into rows first, in one pass over them; a phase then reads x where it lies and
// writes its outputs where they belong, `stride` apart.
#include "conv/transposed.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "conv/transposed_phases.hpp"
#include "gemm/weights.hpp"
#include "problem/stored.hpp"

namespace flatconv {

namespace {

struct PhasePlan {
    Phase phase;
    ConvShape shape;
    std::unique_ptr<ConvPlan> plan;
    std::int64_t weights_at;  // elements before its rows, among the rows of all phases
    std::size_t packed_part;  // of a layer's weights that were packed before
};

/// The elements [row, row + stride) of a phase are the weights of one of its output channels.
template <typename T>
std::int64_t row_stride(const ConvShape& phase) {
    return packed_row_stride<T>(phase.depth);
}

/// Brings the weights of all phases into rows: for one output channel of the phases, (in channel, taps).
template <typename T>
class PhaseWeights {
  public:
    PhaseWeights(const ConvShape& shape, const std::vector<PhasePlan>& phases, const ConstArray& weight, DType dtype,
                 std::int64_t* tap_offsets, T* rows)
        : shape_(shape), phases_(phases), weight_(weight), dtype_(dtype), tap_offsets_(tap_offsets), rows_(rows) {
        const ByteStrides& strides = weight.byte_strides;
        for (const auto& [phase, part, plan, at, packed] : phases) {
            const auto& [d, h, w] = phase.axes;
            for (std::int64_t i = 0; i < d.taps; ++i) {
                for (std::int64_t j = 0; j < h.taps; ++j) {
                    for (std::int64_t k = 0; k < w.taps; ++k) {
                        *tap_offsets++ = (d.first_tap + i * d.tap_step) * strides[2] +
                                         (h.first_tap + j * h.tap_step) * strides[3] +
                                         (w.first_tap + k * w.tap_step) * strides[4];
                    }
                }
            }
        }
    }

    /// Rows that are written together: their weights are neighbours in the caller's array.
    static constexpr std::int64_t rows_at_once = 16;

    std::int64_t tasks() const { return shape_.groups * ceil_div(shape_.in_channels, rows_at_once); }

    void run(std::int64_t task) const {
        const std::int64_t parts = ceil_div(shape_.in_channels, rows_at_once);
        const std::int64_t group = task / parts, first = task % parts * rows_at_once;
        const std::int64_t end = std::min(first + rows_at_once, shape_.in_channels);
        with_stored(dtype_, [&](auto stored) {
            using Stored = decltype(stored);
            if constexpr (std::is_same_v<Number<Stored>, T>) {
                for (std::int64_t c = 0; c < shape_.out_channels; ++c) {
                    for (std::int64_t row = first; row < end; ++row) copy<Stored>(group, c, row);
                }
            }
        });
    }

  private:
    template <typename Stored>
    void copy(std::int64_t group, std::int64_t channel, std::int64_t row) const {
        const std::byte* from = static_cast<const std::byte*>(weight_.data) +
                                (group * shape_.out_channels + channel) * weight_.byte_strides[0] +
                                row * weight_.byte_strides[1];
        const std::int64_t* offset = tap_offsets_;
        for (const auto& [phase, part, plan, at, packed] : phases_) {
            T* to = rows_ + at + (group * shape_.in_channels + row) * row_stride<T>(part) + channel * part.taps;
            for (std::int64_t tap = 0; tap < part.taps; ++tap) *to++ = load<Stored>(from, *offset++);
        }
    }

    const ConvShape& shape_;
    const std::vector<PhasePlan>& phases_;
    const ConstArray& weight_;
    const DType dtype_;
    const std::int64_t* tap_offsets_;
    T* rows_;
};

template <typename T>
class TransposedPlan final : public ConvPlan {
  public:
    TransposedPlan(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit, Status& status)
        : shape_(request.shape), dtype_(request.dtype), participants_(request.participants) {
        PlanRequest part = request;
        const bool packed = request.weights == WeightForm::packed;
        if (!packed) part.weights = WeightForm::rows;
        std::size_t index = 0;
        for_each_phase(shape_, [&](const Phase& phase) {
            const std::size_t packed_part = index++;
            if (phase.pixels() == 0) return;
            phases_.push_back({phase, phase.shape_of(shape_), nullptr, weight_elements_, packed_part});
            if (packed) return;
            const ConvShape& each = phases_.back().shape;
            weight_elements_ += each.groups * each.out_channels * row_stride<T>(each);
            taps_ += each.taps;
        });
        Carver carver(nullptr);
        carve(carver);
        own_bytes_ = part.reserved_bytes = carver.used();
        part.reserved_bytes += request.reserved_bytes;
        // Outputs of a phase lie a stride apart.
        part.y_in_rows = request.y_in_rows && shape_.stride == Extent{1, 1, 1};
        if (!phases_cover_output(shape_)) {
            part.shape = sums_of_nothing();
            if (status = choose(part, wanted, workspace_limit, nothing_); !status) return;
            include(*nothing_);
        }
        for (PhasePlan& phase : phases_) {
            part.shape = phase.shape;
            if (status = choose(part, wanted, workspace_limit, phase.plan); !status) return;
            include(*phase.plan);
        }
    }

    double cycles() const override { return cycles_; }

    std::size_t workspace_bytes() const override { return own_bytes_ + phase_bytes_; }

    std::string describe() const override {
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
        Carver carver(workspace);
        const auto [rows, tap_offsets] = carve(carver);
        if (!arrays.packed) {
            const PhaseWeights<T> weights(shape_, phases_, arrays.weight, dtype_, tap_offsets, rows);
            parallel::for_each_task(
                runtime.executor, participants_, weights.tasks(), [&](int, std::int64_t task) { weights.run(task); },
                &runtime.cancellation);
        }
        // Outputs of phases without taps are the bias alone; the other phases write over what is not theirs.
        if (nothing_ && !runtime.cancellation.stopped()) nothing_->run(arrays, runtime, workspace + own_bytes_);
        for (const PhasePlan& phase : phases_) {
            if (runtime.cancellation.stopped()) return;
            phase.plan->run(arrays_of(phase, arrays, rows), runtime, workspace + own_bytes_);
        }
    }

  private:
    struct Memory {
        T* rows;
        std::int64_t* tap_offsets;
    };

    Memory carve(Carver& carver) const {
        T* const rows = carver.take<T>(std::size_t(weight_elements_));
        return {rows, carver.take<std::int64_t>(std::size_t(taps_))};
    }

    void include(const ConvPlan& plan) {
        cycles_ += plan.cycles();
        phase_bytes_ = std::max(phase_bytes_, plan.workspace_bytes());
    }

    /// The whole output, from no channels.
    ConvShape sums_of_nothing() const {
        ConvShape nothing = shape_;
        nothing.in_channels = 0;
        nothing.out_channels = shape_.in_channels;
        nothing.output = shape_.input;
        nothing.input = nothing.kernel = nothing.stride = nothing.dilation = {1, 1, 1};
        nothing.pad_before = {0, 0, 0};
        nothing.padding_mode = PaddingMode::zeros;
        nothing.taps = 1;
        nothing.pixels = nothing.output[0] * nothing.output[1] * nothing.output[2];
        nothing.depth = 0;
        return nothing;
    }

    ConvArrays arrays_of(const PhasePlan& phase, const ConvArrays& arrays, const T* rows) const {
        ConvArrays part = arrays;
        if (arrays.packed) part.packed += phase.packed_part;
        part.weight = {arrays.packed ? static_cast<const void*>(part.packed->rows) : rows + phase.weights_at,
                       dense_strides(phase.shape.in_channels, phase.shape.kernel, std::int64_t(sizeof(T)))};
        part.weight.byte_strides[0] = row_stride<T>(phase.shape) * std::int64_t(sizeof(T));
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
    const int participants_;
    std::vector<PhasePlan> phases_;
    std::unique_ptr<ConvPlan> nothing_;
    std::int64_t weight_elements_ = 0;
    std::int64_t taps_ = 0;
    std::size_t own_bytes_ = 0;
    std::size_t phase_bytes_ = 0;
    double cycles_ = 0;
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
    if (computes_in_float(request.dtype)) {
        chosen = std::make_unique<TransposedPlan<float>>(request, wanted, workspace_limit, status);
    } else {
        chosen = std::make_unique<TransposedPlan<double>>(request, wanted, workspace_limit, status);
    }
    return status;
}

}  // namespace flatconv
