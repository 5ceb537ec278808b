// Adds a residual of halves to a y of floats: a second pass over y, so that no algorithm has to read residuals of a
// type of their own.
#include "conv/added_halves.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace flatconv {

namespace {

class AddedHalvesPlan final : public ConvPlan {
  public:
    AddedHalvesPlan(const PlanRequest& request, const OutputSizes& y, std::unique_ptr<ConvPlan> sums)
        : kernels_(*request.kernels),
          activation_(request.activation),
          participants_(request.participants),
          y_(y),
          sums_(std::move(sums)) {}

    double cycles() const override { return sums_->cycles(); }
    std::size_t workspace_bytes() const override { return sums_->workspace_bytes(); }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        ConvArrays bare = arrays;
        bare.residual.data = nullptr;
        sums_->run(bare, runtime, workspace);
        if (runtime.cancellation.stopped()) return;
        // Lines of pixels, or of channels where those are innermost.
        std::array<std::int64_t, 5> sizes{y_.batch, y_.channels, y_.spatial[0], y_.spatial[1], y_.spatial[2]};
        ByteStrides to = arrays.y.byte_strides, from = arrays.residual.byte_strides;
        if (std::abs(to[1]) < std::abs(to[4])) {
            std::swap(sizes[1], sizes[4]);
            std::swap(to[1], to[4]);
            std::swap(from[1], from[4]);
        }
        for (const std::size_t axis : {3, 2}) {
            if (to[axis] != sizes[4] * to[4] || from[axis] != sizes[4] * from[4]) continue;
            sizes[4] *= std::exchange(sizes[axis], 1);
        }
        const HalfKernels<float>& half = *half_kernels<float>(kernels_, arrays.residual.stored);
        parallel::for_each_task(
            runtime.executor, participants_, sizes[0] * sizes[1] * sizes[2] * sizes[3],
            [&](int, std::int64_t line) {
                const std::int64_t h = line % sizes[3], d = line / sizes[3] % sizes[2];
                const std::int64_t second = line / sizes[3] / sizes[2] % sizes[1];
                const std::int64_t first = line / sizes[3] / sizes[2] / sizes[1];
                const auto at = [&](const ByteStrides& strides) {
                    return first * strides[0] + second * strides[1] + d * strides[2] + h * strides[3];
                };
                add_line(half, static_cast<const std::byte*>(arrays.residual.data) + at(from), from[4], sizes[4],
                         static_cast<std::byte*>(arrays.y.data) + at(to), to[4]);
            },
            &runtime.cancellation);
    }

  private:
    void add_line(const HalfKernels<float>& half, const std::byte* from, std::int64_t from_step, std::int64_t count,
                  std::byte* to, std::int64_t to_step) const {
        constexpr std::int64_t bytes = sizeof(float);
        float sums[most_added];
        for (std::int64_t i = 0; i < count; i += most_added) {
            const std::int64_t some = std::min(most_added, count - i);
            std::byte* const place = to + i * to_step;
            for (std::int64_t j = 0; j < some; ++j) std::memcpy(sums + j, place + j * to_step, bytes);
            add_halves(kernels_of<float>(kernels_), half, activation_, from + i * from_step, from_step, some, sums);
            for (std::int64_t j = 0; j < some; ++j) std::memcpy(place + j * to_step, sums + j, bytes);
        }
    }

    const KernelSet& kernels_;
    const ActivationSteps<float> activation_;
    const int participants_;
    const OutputSizes y_;
    const std::unique_ptr<ConvPlan> sums_;
};

}  // namespace

std::unique_ptr<ConvPlan> plan_added_halves(const PlanRequest& request, const OutputSizes& y,
                                            std::unique_ptr<ConvPlan> sums) {
    return std::make_unique<AddedHalvesPlan>(request, y, std::move(sums));
}

}  // namespace flatconv
