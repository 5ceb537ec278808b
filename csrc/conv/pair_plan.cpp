// The product with lanes across pixels, two depths at a time.
#include "conv/pair_plan.hpp"

#include <algorithm>
#include <atomic>

#include "conv/operands.hpp"
#include "conv/pixel_product.hpp"
#include "im2col/pair_padding.hpp"
#include "problem/messages.hpp"

namespace flatconv {

namespace {

/// Pads, and raises a flag where numbers are too small for weights of such an exponent.
template <typename Padding>
class WatchedPadding {
  public:
    using Element = typename Padding::Element;

    WatchedPadding(const Padding& padding, int weight_exponent, std::atomic<bool>& too_small)
        : padding_(padding), weight_exponent_(weight_exponent), too_small_(too_small) {}

    void pad(const std::byte* channel, Element* band, bool first, std::int64_t index) const {
        if (keep_sums_normal(padding_.pad(channel, band, first, index), weight_exponent_)) return;
        too_small_.store(true, std::memory_order_relaxed);
    }

  private:
    const Padding& padding_;
    const int weight_exponent_;
    std::atomic<bool>& too_small_;
};

/// Whether two channels are joined as they are padded: then they are one to all that follows. Else two kernel elements
/// are, as they are packed.
bool joins_channels(const ConvShape& shape) {
    return shape.taps == 1 && shape.padding_mode == PaddingMode::zeros &&
           (shape.groups == 1 || shape.in_channels % 2 == 0);
}

PixelBlocking<float> pair_blocking(PlanRequest request) {
    const PairKernels& kernels = request.kernels->pairs;
    ConvShape& shape = request.shape;
    if (!joins_channels(shape)) return {request, Packing::all, {kernels.joining, 2, depth_block}};
    shape.in_channels = shape.depth = words_of_pairs(shape.depth);
    return {request, Packing::crossing, {kernels.words, 1, words_of_pairs(depth_block)}};
}

/// The weights as words.
struct PairWeights {
    WeightRows<float> rows;
    int least_exponent;
};

class PairPlan final : public ConvPlan {
  public:
    PairPlan(const PlanRequest& request, const PixelBlocking<float>& blocking, std::unique_ptr<ConvPlan> exact)
        : request_(request),
          blocking_(blocking),
          exact_(std::move(exact)),
          weight_stride_(packed_row_stride<float>(words_of_pairs(request.shape.depth))),
          workspaces_(
              blocking_.participants, [&](Carver& carver) { Memory(*this, carver); },
              [&](Carver& carver) { PixelWorkspace<float>(blocking_, carver); }) {}

    double cycles() const override { return blocking_.cycles(); }

    std::size_t workspace_bytes() const override { return std::max(workspaces_.bytes(), exact_->workspace_bytes()); }

    std::string describe() const override {
        const BandPlan& bands = blocking_.bands;
        return "lanes across pixels, pairs of bfloat16 in tiles of " + std::to_string(blocking_.kernels.tile_rows) +
               " × " + std::to_string(blocking_.kernels.tile_cols) + ", " + counted(bands.tasks, "band") + " of " +
               std::to_string(bands.box[0] * bands.box[1] * bands.box[2]) + " pixels × " + std::to_string(bands.rows) +
               " channels";
    }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        Carver shared(workspace);
        const Memory memory(*this, shared);
        const PairWeights weights = pack(arrays, runtime, memory);
        const auto* bias = arrays.packed ? reinterpret_cast<const float*>(arrays.packed->bias) : memory.bias;
        const Operands<float> operands{weights.rows, nullptr, false, bias, ActivationSteps<float>(request_.activation)};
        const auto workspace_of = [&](int participant) {
            Carver own = workspaces_.own(workspace, participant);
            return PixelWorkspace<float>(blocking_, own);
        };
        for (int p = 0; p < blocking_.participants; ++p) workspace_of(p).prepare(blocking_);
        std::atomic<bool> too_small{!keep_sums_normal(no_exponent, weights.least_exponent)};
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.tasks(),
            [&](int participant, std::int64_t index) {
                if (too_small.load(std::memory_order_relaxed)) return;
                const PixelWorkspace<float> own = workspace_of(participant);
                run_task(arrays, operands, own, index, runtime, [&](const auto& padding) {
                    return WatchedPadding(padding, weights.least_exponent, too_small);
                });
            },
            &runtime.cancellation);
        if (too_small && !runtime.cancellation.stopped()) exact_->run(arrays, runtime, workspace);
    }

  private:
    /// What is packed for a call.
    struct Memory {
        float* weights = nullptr;
        float* bias = nullptr;
        int* exponents = nullptr;  // of each row of the weights, the least

        Memory(const PairPlan& plan, Carver& carver) {
            if (plan.request_.weights == WeightForm::packed) return;
            const auto rows = std::size_t(weight_sizes(plan.request_.shape).rows());
            weights = carver.take<float>(rows * std::size_t(plan.weight_stride_));
            bias = carver.take<float>(rows);
            exponents = carver.take<int>(rows);
        }
    };

    PairWeights pack(const ConvArrays& arrays, const Runtime& runtime, const Memory& memory) const {
        if (arrays.packed) return {{arrays.packed->pairs, weight_stride_}, arrays.packed->least_exponent};
        const WeightSizes sizes = weight_sizes(request_.shape);
        pack_bias(request_.shape, half_kernels<float>(*request_.kernels, arrays.bias.stored), arrays.bias, sizes.rows(),
                  memory.bias);
        parallel::for_each_task(
            runtime.executor, blocking_.participants, sizes.rows(),
            [&](int, std::int64_t row) {
                memory.exponents[row] =
                    pack_pairs(*request_.kernels, sizes, arrays.weight, row, memory.weights + row * weight_stride_);
            },
            &runtime.cancellation);
        // Rows that were not packed have no exponents.
        if (runtime.cancellation.stopped()) return {{memory.weights, weight_stride_}, no_exponent};
        return {{memory.weights, weight_stride_}, *std::min_element(memory.exponents, memory.exponents + sizes.rows())};
    }

    template <typename Watch>
    void run_task(const ConvArrays& arrays, const Operands<float>& operands, const PixelWorkspace<float>& own,
                  std::int64_t index, const Runtime& runtime, const Watch& watch) const {
        const PairKernels& kernels = request_.kernels->pairs;
        if (!joins_channels(request_.shape)) {
            PixelTask<float> task(blocking_, arrays, operands, own, index);
            const MeasuredPadding padding(kernels, blocking_.layout, blocking_.shape, task.box(), arrays.x.byte_strides,
                                          own.blocks);
            return task.run(watch(padding), runtime.cancellation);
        }
        ConvArrays in_pairs = arrays;
        in_pairs.x.byte_strides[1] *= 2;
        PixelTask<float> task(blocking_, in_pairs, operands, own, index);
        const JoinedPadding padding(kernels, blocking_.layout, blocking_.shape, request_.shape.in_channels, task.box(),
                                    arrays.x.byte_strides, own.blocks);
        task.run(watch(padding), runtime.cancellation);
    }

    const PlanRequest request_;
    const PixelBlocking<float> blocking_;
    const std::unique_ptr<ConvPlan> exact_;
    const std::ptrdiff_t weight_stride_;
    const Workspaces workspaces_;
};

}  // namespace

std::unique_ptr<ConvPlan> plan_pairs(const PlanRequest& request, std::unique_ptr<ConvPlan> exact) {
    const PixelBlocking<float> blocking = pair_blocking(request);
    if (blocking.cycles() >= exact->cycles()) return exact;
    return std::make_unique<PairPlan>(request, blocking, std::move(exact));
}

}  // namespace flatconv
