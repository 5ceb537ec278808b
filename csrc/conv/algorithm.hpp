// The list of algorithms, and what they are asked: first to plan, then to run. Adding one is a file and a line in
// choose.cpp.
#ifndef FLATCONV_CONV_ALGORITHM_HPP
#define FLATCONV_CONV_ALGORITHM_HPP

#include <flatconv/flatconv.hpp>

#include <memory>

#include "conv/runtime.hpp"
#include "kernels/kernel_set.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// All that a plan may depend on.
struct PlanRequest {
    ConvShape shape;  // not empty
    DType dtype;
    const KernelSet* kernels;
    int threads;       // the work is split for so many,
    int participants;  // and so many run at the same time
    /// What the regions of one band and one block of depth may take for each participant.
    std::int64_t region_bytes = 512 * 1024;
    bool weights_in_rows;  // the weights can be read where they lie; see gemm/weights.hpp
    bool x_pixels_dense;   // all pixels of a channel are consecutive elements, and channels whole elements apart
};

/// The arrays of one call, all with explicit strides. `bias.data` may be null.
struct ConvArrays {
    ConstArray x;
    ConstArray weight;
    ConstArray bias;
    Array y;
};

/// One algorithm, all decided for one shape. Plans are immutable, so that calls can share them.
class ConvPlan {
  public:
    virtual ~ConvPlan() = default;

    /// Expected time, in the time that one thread takes for a multiply-add on one vector lane.
    virtual double cost() const = 0;

    virtual std::size_t workspace_bytes() const = 0;

    /// Computes y. `workspace` has `workspace_bytes()` and starts on a cache line; nothing else is allocated.
    virtual void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const = 0;
};

struct ConvAlgorithm {
    Algorithm id;
    std::unique_ptr<ConvPlan> (*plan)(const PlanRequest& request);
};

extern const ConvAlgorithm reference_algorithm;
extern const ConvAlgorithm im2col_algorithm;
extern const ConvAlgorithm implicit_algorithm;

/// The plan of the algorithm that `wanted` names, or the cheapest, within the limit.
Status choose(PlanRequest request, Algorithm wanted, std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen);

}  // namespace flatconv

#endif
