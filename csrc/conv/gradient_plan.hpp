// What the plans of a weight's gradient have in common: parts that are independent of each other, each of which walks
// through the positions of all images.
#ifndef FLATCONV_CONV_GRADIENT_PLAN_HPP
#define FLATCONV_CONV_GRADIENT_PLAN_HPP

#include <algorithm>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/gradient_arrays.hpp"

namespace flatconv {

template <typename T>
class GradientPlan : public ConvPlan {
  public:
    double cycles() const final {
        return double(shape_.depth) * double(shape_.groups * shape_.out_channels) * double(depth_) / kernels_.lanes;
    }

    std::size_t workspace_bytes() const final { return workspaces_.bytes(); }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const final {
        parallel::for_each_task(
            runtime.executor, participants_, part_count_,
            [&](int participant, std::int64_t index) {
                Carver carver = workspaces_.own(workspace, participant);
                run_part(arrays, runtime, carver, index);
            },
            &runtime.cancellation);
    }

  protected:
    explicit GradientPlan(const PlanRequest& request)
        : kernels_(kernels_of<T>(*request.kernels)),
          half_x_(halves_of_x<T>(request)),
          shape_(request.shape),
          arrays_(kernels_, half_kernels<T>(*request.kernels, request.weight_dtype), halves_of_y<T>(request), shape_),
          depth_(shape_.batch * shape_.pixels),
          participants_(request.participants) {}

    /// To be called once they are known; `carver` has measured the memory of one of them.
    void set_parts(std::int64_t count, const Carver& carver) {
        part_count_ = count;
        participants_ = int(std::min<std::int64_t>(participants_, count));
        workspaces_ = {participants_, carver.used()};
    }

    virtual void run_part(const ConvArrays& arrays, const Runtime& runtime, Carver& carver,
                          std::int64_t index) const = 0;

    const Kernels<T>& kernels_;
    const HalfKernels<T>* const half_x_;  // of x; or null
    const ConvShape shape_;
    const GradientArrays<T> arrays_;
    const std::int64_t depth_;  // positions of all images

  private:
    std::int64_t part_count_ = 0;
    int participants_;
    Workspaces workspaces_;
};

}  // namespace flatconv

#endif
