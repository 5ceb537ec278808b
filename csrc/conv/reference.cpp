// The definition of every result: plain loops over std::fma. All other algorithms are compared with this one, to the
// bit.
#include <cmath>

#include "conv/definition.hpp"
#include "problem/padding.hpp"

namespace flatconv {

namespace {

template <typename T>
class Reference {
  public:
    Reference(const ConvShape& shape, const Activation& activation, const ConvArrays& arrays,
              parallel::Cancellation& cancellation)
        : shape_(shape), activation_(activation), arrays_(arrays), cancellation_(cancellation) {}

    /// One output: depth blocks of fused multiply-adds, in the order (channel, kd, kh, kw).
    T output(std::int64_t image, std::int64_t out_channel, const Extent& at) const {
        const ByteStrides& strides = arrays_.weight.byte_strides;
        const std::int64_t first_channel = out_channel / shape_.out_channels * shape_.in_channels;
        T total = 0;
        T block = 0;
        std::int64_t d = 0;
        for (std::int64_t c = 0; c < shape_.in_channels; ++c) {
            for (std::int64_t kd = 0; kd < shape_.kernel[0]; ++kd) {
                for (std::int64_t kh = 0; kh < shape_.kernel[1]; ++kh) {
                    for (std::int64_t kw = 0; kw < shape_.kernel[2]; ++kw) {
                        const Extent position{covered(at, kd, 0), covered(at, kh, 1), covered(at, kw, 2)};
                        const std::int64_t offset = out_channel * strides[0] + c * strides[1] + kd * strides[2] +
                                                    kh * strides[3] + kw * strides[4];
                        const T weight = load_parameter<T>(arrays_, arrays_.weight, offset);
                        block = std::fma(weight, pixel(image, first_channel + c, position), block);
                        ++d;
                        if (d % depth_block == 0 || d == shape_.depth) {
                            total = d <= depth_block ? block : total + block;
                            block = 0;
                            if (cancellation_.poll()) return total;
                        }
                    }
                }
            }
        }
        return finished<T>(total, shape_, activation_, arrays_, image, out_channel, at);
    }

  private:
    /// The padded coordinate that a tap covers when the kernel stands at `at`.
    std::int64_t covered(const Extent& at, std::int64_t tap, std::size_t axis) const {
        const std::int64_t place = shape_.mirrored ? shape_.kernel[axis] - 1 - tap : tap;
        return at[axis] * shape_.stride[axis] + place * shape_.dilation[axis];
    }

    /// The element of x that a tap reads at a position of the padded image: padding is a number like any other.
    T pixel(std::int64_t image, std::int64_t channel, const Extent& position) const {
        Extent source;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            source[axis] =
                source_index(shape_.padding_mode, position[axis] - shape_.pad_before[axis], shape_.input[axis]);
            if (source[axis] == zero_element) return T(0);
        }
        return load_element<T>(shape_, arrays_.x, image, channel, source);
    }

    const ConvShape& shape_;
    const Activation& activation_;
    const ConvArrays& arrays_;
    parallel::Cancellation& cancellation_;
};

class ReferencePlan final : public ConvPlan {
  public:
    explicit ReferencePlan(const PlanRequest& request)
        : shape_(request.shape),
          activation_(request.activation),
          dtype_(request.dtype),
          participants_(request.participants) {}

    /// A call of the library's fma and three lookups, for each element of the sum.
    double cycles() const override {
        return 200.0 * double(shape_.batch) * double(shape_.groups * shape_.out_channels) * double(shape_.pixels) *
               double(shape_.depth + 1) / participants_;
    }

    std::size_t workspace_bytes() const override { return 0; }

    std::string describe() const override { return "plain loops over std::fma"; }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte*) const override {
        const std::int64_t channels = shape_.groups * shape_.out_channels;
        parallel::for_each_task(
            runtime.executor, participants_, shape_.batch * channels,
            [&](int, std::int64_t task) {
                const std::int64_t image = task / channels, channel = task % channels;
                with_number(dtype_,
                            [&](auto number) { run_channel<decltype(number)>(arrays, runtime, image, channel); });
            },
            &runtime.cancellation);
    }

  private:
    template <typename T>
    void run_channel(const ConvArrays& arrays, const Runtime& runtime, std::int64_t image, std::int64_t channel) const {
        const Reference<T> reference(shape_, activation_, arrays, runtime.cancellation);
        auto* const y = static_cast<std::byte*>(arrays.y.data);
        Extent at;
        for (at[0] = 0; at[0] < shape_.output[0]; ++at[0]) {
            for (at[1] = 0; at[1] < shape_.output[1]; ++at[1]) {
                for (at[2] = 0; at[2] < shape_.output[2]; ++at[2]) {
                    if (runtime.cancellation.stopped()) return;
                    const T value = reference.output(image, channel, at);
                    store_as<T>(dtype_, y, element_at(shape_, arrays.y.byte_strides, image, channel, at, sizeof(T)),
                                value);
                }
            }
        }
    }

    const ConvShape shape_;
    const Activation activation_;
    const DType dtype_;
    const int participants_;
};

}  // namespace

const ConvAlgorithm reference_algorithm = {
    Algorithm::reference,
    "reference",
    [](const PlanRequest& request) -> std::unique_ptr<ConvPlan> { return std::make_unique<ReferencePlan>(request); },
};

}  // namespace flatconv
