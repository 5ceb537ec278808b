// The list of algorithms, and what they are asked: first to plan, then to run. Adding one is a file and a line in
// choose.cpp.
#ifndef FLATCONV_CONV_ALGORITHM_HPP
#define FLATCONV_CONV_ALGORITHM_HPP

#include <flatconv/flatconv.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include "conv/runtime.hpp"
#include "gemm/weights.hpp"
#include "kernels/kernel_set.hpp"
#include "problem/conv_shape.hpp"

namespace flatconv {

/// How the weights come. Not part of a result, only of the time that it takes.
enum class WeightForm {
    strided,  // in any order: packed in each call
    rows,     // can be read where they lie, as what is computed with; see gemm/weights.hpp
    packed,   // by the caller, once for many calls
};

/// All that a plan may depend on.
struct PlanRequest {
    ConvShape shape;  // not empty
    Activation activation;
    DType dtype;  // of y, of real numbers
    // Of the two arrays that are read; they differ from it where they hold halves, and y floats.
    DType x_dtype, weight_dtype;
    bool conjugates;  // complex weights stand for their conjugates
    const KernelSet* kernels;
    int threads;       // the work is split for so many,
    int participants;  // and so many run at the same time
    /// What one band may keep for each participant: padded channels, packed vectors, sums.
    std::int64_t band_bytes = 512 * 1024;
    /// What the call needs beside the plan's workspace; counts against its limit.
    std::size_t reserved_bytes = 0;
    WeightForm weights;
    bool x_aligned;                   // x's real numbers are aligned, and whole ones apart
    bool x_pixels_dense;              // and all pixels of a channel are consecutive elements
    bool y_in_rows;                   // the same of y, and of the residual if there is one
    bool x_halves_dense;              // x holds halves, and all pixels of a channel are consecutive ones
    bool y_halves_dense;              // the same of y
    bool adds_halves = false;         // the residual holds halves, and y floats
    bool channels_innermost = false;  // in x and y: the pixels of a channel are far apart
    bool channels_dense = false;      // and the channels of a pixel consecutive elements; in the residual, too
};

/// How an array is read and written where it holds halves; else null. Then it holds T.
template <typename T>
const HalfKernels<T>* half_kernels(const KernelSet& kernels, DType dtype) noexcept {
    if constexpr (std::is_same_v<T, float>) {
        if (dtype == DType::float16) return &kernels.float16;
        if (dtype == DType::bfloat16) return &kernels.bfloat16;
    }
    return nullptr;
}

template <typename T>
const HalfKernels<T>* halves_of_x(const PlanRequest& request) noexcept {
    return half_kernels<T>(*request.kernels, request.x_dtype);
}

/// Of y, and of the residual.
template <typename T>
const HalfKernels<T>* halves_of_y(const PlanRequest& request) noexcept {
    return half_kernels<T>(*request.kernels, request.dtype);
}

/// Of weights: rows and packed ones are what is computed with already.
template <typename T>
const HalfKernels<T>* halves_of_weights(const PlanRequest& request) noexcept {
    return request.weights == WeightForm::strided ? half_kernels<T>(*request.kernels, request.weight_dtype) : nullptr;
}

/// The arrays of one call, all with explicit strides. `bias.data` and `residual.data` may be null.
struct ConvArrays {
    ConstArray x;
    ConstArray weight;
    ConstArray bias;
    ConstArray residual;
    Array y;
    const PackedWeights* packed;  // or null: then `weight` and `bias` are read
};

/// One algorithm, all decided for one shape. Plans are immutable, so that calls can share them.
class ConvPlan {
  public:
    virtual ~ConvPlan() = default;

    /// Expected time, in the cycles that multiply-adds of one vector take.
    virtual double cycles() const = 0;

    virtual std::size_t workspace_bytes() const = 0;

    /// What was decided, in words: "lanes across channels, tiles of 14 × 32, …". Asked of layers' plans alone; others
    /// need not know.
    virtual std::string describe() const { return {}; }

    /// Whether `run` also takes complex weights that lie in rows, marked as such by their type, for the real ones that
    /// they stand for.
    virtual bool reads_complex_weights() const { return false; }

    /// Computes y. `workspace` has `workspace_bytes()` and starts on a cache line; nothing else is allocated.
    virtual void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const = 0;
};

struct ConvAlgorithm {
    Algorithm id;
    const char* name;
    /// Null where the algorithm does not do such a shape.
    std::unique_ptr<ConvPlan> (*plan)(const PlanRequest& request);
};

extern const ConvAlgorithm reference_algorithm;
extern const ConvAlgorithm im2col_algorithm;
extern const ConvAlgorithm implicit_algorithm;
extern const ConvAlgorithm channels_algorithm;
extern const ConvAlgorithm direct_algorithm;

/// The plan of the algorithm that `wanted` names, or the cheapest, within the limit.
Status choose(PlanRequest request, Algorithm wanted, std::size_t workspace_limit, std::unique_ptr<ConvPlan>& chosen);

/// What choose would say to such a request, in words, and what became of the other algorithms.
Status explain_choice(const PlanRequest& request, Algorithm wanted, std::size_t workspace_limit, std::string& text);

}  // namespace flatconv

#endif
