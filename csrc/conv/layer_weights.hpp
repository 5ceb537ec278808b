// The weights of a layer that is called many times, packed in every order that an algorithm reads; packed_conv.cpp
// keeps them.
#ifndef FLATCONV_CONV_LAYER_WEIGHTS_HPP
#define FLATCONV_CONV_LAYER_WEIGHTS_HPP

#include <vector>

#include "base/aligned_buffer.hpp"
#include "conv/call.hpp"
#include "conv/runtime.hpp"

namespace flatconv {

/// Who packs.
struct Packers {
    const Runtime& runtime;
    int participants;

    /// pack(index) for each of so many parts of the work, which are independent, unless it is stopped.
    template <typename Pack>
    void share(std::int64_t parts, const Pack& pack) const {
        parallel::for_each_task(
            runtime.executor, participants, parts, [&](int, std::int64_t index) { pack(index); },
            &runtime.cancellation);
    }
};

class LayerWeights {
  public:
    /// Copies the arrays, which have explicit strides and types; complex weights become real ones. `shape` is the
    /// layer's, or that of the convolution which the layer transposes; `dtype` is that of real numbers. Nothing is
    /// packed where it is stopped.
    Status pack(Task task, const ConvShape& shape, DType dtype, const KernelSet& kernels, const ConstArray& weight,
                const ConstArray& bias, const Packers& packers);

    /// Of a convolution the first is all; of a transpose there is one for each phase that has taps, in their order.
    const PackedWeights* parts() const { return parts_.data(); }

    const KernelSet* kernels() const { return parts_.front().kernels; }

    /// The packed rows and the bias as the arrays of a call, for an algorithm that reads elements one by one. (The
    /// phases of a transpose find theirs among the parts.)
    const ConstArray& weight() const { return weight_; }
    const ConstArray& bias() const { return bias_; }

  private:
    struct Part;
    static std::vector<Part> parts_of(Task task, const ConvShape& shape, const ConstArray& weight);

    template <typename T>
    Status pack(Task task, const ConvShape& shape, const KernelSet& kernels, const ConstArray& weight,
                const ConstArray& bias, const Packers& packers);
    template <typename T>
    Status pack_real(const std::vector<Part>& parts, const ConvShape& shape, const KernelSet& kernels,
                     const ConstArray& bias, const Packers& packers);

    template <typename T>
    std::size_t place(const std::vector<Part>& parts, const KernelSet& kernels, bool in_pairs, std::byte* start);

    AlignedBuffer memory_;
    std::vector<PackedWeights> parts_;
    ConstArray weight_, bias_;
};

}  // namespace flatconv

#endif
