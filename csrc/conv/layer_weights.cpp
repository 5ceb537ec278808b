// Packs the weights of a layer: those of one convolution, or of each that a transpose is made of.
#include "conv/layer_weights.hpp"

#include "base/checked.hpp"
#include "conv/operands.hpp"
#include "conv/transposed_phases.hpp"

namespace flatconv {

/// The weights of one convolution, where they lie in the caller's array.
struct LayerWeights::Part {
    WeightSizes sizes;
    ConstArray weight;  // its strides in the order (out, in, kernel...)
};

std::vector<LayerWeights::Part> LayerWeights::parts_of(Task task, const ConvShape& shape, const ConstArray& weight) {
    if (task == Task::convolution) return {{weight_sizes(shape), weight}};
    std::vector<Part> parts;
    for_each_phase(shape, [&](const Phase& phase) {
        Part part{weight_sizes(phase.shape_of(shape)), weight};
        ByteStrides& strides = part.weight.byte_strides;
        std::swap(strides[0], strides[1]);
        std::int64_t first = 0;
        for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
            const AxisPhase& taps = phase.axes[axis];
            first += taps.first_tap * strides[axis + 2];
            // A stride that leads to no second tap may be of any size.
            if (taps.taps > 1) strides[axis + 2] *= taps.tap_step;
        }
        part.weight.data = static_cast<const std::byte*>(weight.data) + first;
        parts.push_back(part);
    });
    return parts;
}

namespace {

/// Whole vectors of channels may be many times the weights themselves, whose size is known to fit.
template <typename T>
Checked packed_elements(const WeightSizes& sizes, const Kernels<T>& kernels) {
    const Checked rows = Checked(sizes.rows()) * packed_row_stride<T>(sizes.depth());
    const Checked panels = Checked(round_up(sizes.out_channels, kernels.lanes)) * sizes.groups * sizes.depth();
    return rows + panels + sizes.rows();
}

/// A place among the packed weights, to write.
template <typename T>
T* writable(const std::byte* place) {
    return reinterpret_cast<T*>(const_cast<std::byte*>(place));
}

}  // namespace

template <typename T>
std::size_t LayerWeights::place(const std::vector<Part>& parts, const KernelSet& kernels, std::byte* start) {
    Carver carver(start);
    const auto take = [&](std::int64_t count) {
        return reinterpret_cast<std::byte*>(carver.take<T>(std::size_t(count)));
    };
    const std::byte* const bias = take(parts.front().sizes.rows());
    parts_.clear();
    for (const Part& part : parts) {
        const WeightSizes& sizes = part.sizes;
        PackedWeights at{};
        at.kernels = &kernels;
        at.rows = take(sizes.rows() * packed_row_stride<T>(sizes.depth()));
        at.panels = take(sizes.groups * PanelLayout(sizes, kernels_of<T>(kernels)).group_elements());
        at.bias = bias;
        parts_.push_back(at);
    }
    return carver.used();
}

template <typename T>
Status LayerWeights::pack(const std::vector<Part>& parts, const KernelSet& set, const ConstArray& bias) {
    const Kernels<T>& kernels = kernels_of<T>(set);
    Checked elements;
    for (const Part& part : parts) elements = elements + packed_elements(part.sizes, kernels);
    if (!(elements * std::int64_t(sizeof(T))).valid()) {
        return {StatusCode::size_overflow, "the packed weights have more than 2⁶³ − 1 bytes"};
    }
    memory_ = AlignedBuffer(place<T>(parts, set, nullptr));
    if (!memory_.data()) return {StatusCode::out_of_memory, "out of memory for the packed weights"};
    place<T>(parts, set, memory_.data());
    pack_bias(bias, parts.front().sizes.rows(), writable<T>(parts_.front().bias));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto& [sizes, weight] = parts[i];
        const PanelLayout layout(sizes, kernels);
        const std::ptrdiff_t stride = packed_row_stride<T>(sizes.depth());
        T* const rows = writable<T>(parts_[i].rows);
        for (std::int64_t row = 0; row < sizes.rows(); ++row) pack_row(sizes, weight, row, rows + row * stride);
        for (std::int64_t group = 0; group < sizes.groups; ++group) {
            for (std::int64_t panel = 0; panel < layout.panels(); ++panel) {
                pack_panel(kernels, sizes, weight, group, panel, 0, layout.depth,
                           writable<T>(parts_[i].panels) + layout.at(group, panel));
            }
        }
    }
    const WeightSizes& sizes = parts.front().sizes;
    ByteStrides strides = dense_strides(sizes.in_channels, sizes.kernel, sizeof(T));
    strides[0] = packed_row_stride<T>(sizes.depth()) * std::int64_t(sizeof(T));
    weight_ = {parts_.front().rows, strides};
    bias_ = {parts_.front().bias, {std::int64_t(sizeof(T))}};
    return {};
}

Status LayerWeights::pack(Task task, const ConvShape& shape, DType dtype, const KernelSet& kernels,
                          const ConstArray& weight, const ConstArray& bias) {
    const std::vector<Part> parts = parts_of(task, shape, weight);
    return dtype == DType::float32 ? pack<float>(parts, kernels, bias) : pack<double>(parts, kernels, bias);
}

}  // namespace flatconv
