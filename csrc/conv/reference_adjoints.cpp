// The definitions of the transposes: plain loops over std::fma for transposed convolutions, gradients of the input and
// gradients of the weights. conv/reference.cpp is the same for convolutions.
#include <cmath>

#include "conv/definition.hpp"
#include "conv/transposed.hpp"
#include "conv/weight_gradient.hpp"
#include "problem/padding.hpp"

namespace flatconv {

namespace {

template <typename T>
T weight_of(const ConstArray& weight, std::int64_t out_channel, std::int64_t channel, const Extent& tap) {
    const ByteStrides& strides = weight.byte_strides;
    return load_stored<T>(weight.stored, weight.data,
                          out_channel * strides[0] + channel * strides[1] + tap[0] * strides[2] + tap[1] * strides[3] +
                              tap[2] * strides[4]);
}

/// The sum of the contract: blocks of fused multiply-adds, in the order in which the terms come.
template <typename T>
class Sum {
  public:
    void add(T a, T b) {
        if (length_ == depth_block) close();
        block_ = std::fma(a, b, block_);
        ++length_;
    }

    T total() {
        close();
        return total_;
    }

  private:
    void close() {
        total_ = first_ ? block_ : total_ + block_;
        first_ = false;
        block_ = 0;
        length_ = 0;
    }

    T total_ = 0;
    T block_ = 0;
    std::int64_t length_ = 0;
    bool first_ = true;
};

/// body(index) for every index below `sizes`, in row-major order, until it returns false.
template <typename Body>
void for_each_index(const Extent& sizes, const Body& body) {
    Extent at;
    for (at[0] = 0; at[0] < sizes[0]; ++at[0]) {
        for (at[1] = 0; at[1] < sizes[1]; ++at[1]) {
            for (at[2] = 0; at[2] < sizes[2]; ++at[2]) {
                if (!body(static_cast<const Extent&>(at))) return;
            }
        }
    }
}

/// One pixel of the transpose gathers, channel by channel, the kernel elements that lie a whole number of strides off.
template <typename T>
T transposed_pixel(const PlanRequest& request, const ConvArrays& arrays, const Runtime& runtime, std::int64_t image,
                   std::int64_t channel, const Extent& at) {
    const ConvShape& shape = request.shape;
    const std::int64_t group = channel / shape.in_channels, row = channel % shape.in_channels;
    Sum<T> sum;
    for (std::int64_t c = 0; c < shape.out_channels && !runtime.cancellation.poll(); ++c) {
        const std::int64_t x_channel = group * shape.out_channels + c;
        for_each_index(shape.kernel, [&](const Extent& tap) {
            Extent pixel;
            bool inside = true;
            for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
                const std::int64_t distance = at[axis] + shape.pad_before[axis] - tap[axis] * shape.dilation[axis];
                if (distance % shape.stride[axis] != 0) return true;
                pixel[axis] = distance / shape.stride[axis];
                inside = inside && pixel[axis] >= 0 && pixel[axis] < shape.output[axis];
            }
            sum.add(weight_of<T>(arrays.weight, x_channel, row, tap),
                    inside ? load_element<T>(shape, arrays.x, image, x_channel, pixel) : 0);
            return true;
        });
    }
    return finished<T>(sum.total(), shape, request.activation, arrays, image, channel, at);
}

/// One weight's gradient sums over all images and output positions. `arrays.weight` is dy.
template <typename T>
T weight_gradient(const PlanRequest& request, const ConvArrays& arrays, const Runtime& runtime, std::int64_t row,
                  std::int64_t channel, const Extent& tap) {
    const ConvShape& shape = request.shape;
    const std::int64_t x_channel = row / shape.out_channels * shape.in_channels + channel;
    Sum<T> sum;
    for (std::int64_t image = 0; image < shape.batch; ++image) {
        for_each_index(shape.output, [&](const Extent& at) {
            Extent pixel;
            bool inside = true;
            for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
                pixel[axis] = source_index(
                    shape.padding_mode,
                    at[axis] * shape.stride[axis] + tap[axis] * shape.dilation[axis] - shape.pad_before[axis],
                    shape.input[axis]);
                inside = inside && pixel[axis] != zero_element;
            }
            sum.add(load_element<T>(shape, arrays.weight, image, row, at),
                    inside ? load_element<T>(shape, arrays.x, image, x_channel, pixel) : 0);
            return at[2] % 256 != 0 || !runtime.cancellation.poll();
        });
        if (runtime.cancellation.poll()) break;
    }
    return sum.total();
}

/// What a definition computes: `element` for every index of an array of so many (images, channels, sizes), in which a
/// channel is where `channel_at` says.
struct TransposeDefinition {
    explicit TransposeDefinition(const ConvShape& of)
        : shape(of), images(of.batch), channels(of.groups * of.in_channels), sizes(of.input) {}

    std::int64_t channel_at(std::int64_t stride, std::int64_t channel, std::int64_t bytes) const {
        return shape.channel_at(stride, channel, bytes);
    }

    template <typename T>
    static constexpr auto element = transposed_pixel<T>;

    const ConvShape& shape;
    std::int64_t images, channels;
    Extent sizes;
};

struct WeightGradientDefinition {
    explicit WeightGradientDefinition(const ConvShape& shape)
        : images(shape.groups * shape.out_channels), channels(shape.in_channels), sizes(shape.kernel) {}

    std::int64_t channel_at(std::int64_t stride, std::int64_t channel, std::int64_t) const { return channel * stride; }

    template <typename T>
    static constexpr auto element = weight_gradient<T>;

    std::int64_t images, channels;
    Extent sizes;
};

template <typename Definition>
class DefinitionPlan final : public ConvPlan {
  public:
    explicit DefinitionPlan(const PlanRequest& request) : request_(request), definition_(request_.shape) {}

    double cycles() const override { return std::numeric_limits<double>::max(); }
    std::size_t workspace_bytes() const override { return 0; }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte*) const override {
        with_number(request_.dtype, [&](auto number) { compute<decltype(number)>(arrays, runtime); });
    }

  private:
    template <typename T>
    void compute(const ConvArrays& arrays, const Runtime& runtime) const {
        const ByteStrides& strides = arrays.y.byte_strides;
        parallel::for_each_task(
            runtime.executor, request_.participants, definition_.images * definition_.channels,
            [&](int, std::int64_t task) {
                const std::int64_t image = task / definition_.channels, channel = task % definition_.channels;
                std::byte* y = static_cast<std::byte*>(arrays.y.data) + image * strides[0] +
                               definition_.channel_at(strides[1], channel, sizeof(T));
                for_each_index(definition_.sizes, [&](const Extent& at) {
                    const auto value = Definition::template element<T>(request_, arrays, runtime, image, channel, at);
                    if (runtime.cancellation.stopped()) return false;
                    store_as<T>(request_.dtype, y, at[0] * strides[2] + at[1] * strides[3] + at[2] * strides[4], value);
                    return true;
                });
            },
            &runtime.cancellation);
    }

    const PlanRequest request_;
    const Definition definition_;
};

}  // namespace

std::unique_ptr<ConvPlan> plan_transposed_reference(const PlanRequest& request) {
    return std::make_unique<DefinitionPlan<TransposeDefinition>>(request);
}

std::unique_ptr<ConvPlan> plan_weight_gradient_reference(const PlanRequest& request) {
    return std::make_unique<DefinitionPlan<WeightGradientDefinition>>(request);
}

}  // namespace flatconv
