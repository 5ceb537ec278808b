// Packs the weights of a layer: those of one convolution, or of each that a transpose is made of.
#include "conv/layer_weights.hpp"

#include <atomic>
#include <map>
#include <utility>

#include "base/checked.hpp"
#include "conv/complex_weights.hpp"
#include "conv/operands.hpp"
#include "conv/pair_plan.hpp"
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
        Part part{weight_sizes(phase.shape_of(shape)), weights_of(phase, weight)};
        std::swap(part.weight.byte_strides[0], part.weight.byte_strides[1]);
        parts.push_back(part);
    });
    return parts;
}

namespace {

/// Whole vectors of channels may be many times the weights themselves, whose size is known to fit.
template <typename T>
Checked packed_elements(const WeightSizes& sizes, const Kernels<T>& kernels, bool in_pairs) {
    const Checked rows = Checked(sizes.rows()) * packed_row_stride<T>(sizes.depth());
    const WeightSizes in_panels = panel_sizes(sizes);
    const Checked panels =
        Checked(round_up(in_panels.out_channels, kernels.lanes)) * in_panels.groups * in_panels.depth();
    const Checked pairs = Checked(in_pairs ? sizes.rows() : 0) * packed_row_stride<T>(words_of_pairs(sizes.depth()));
    return rows + panels + pairs + sizes.rows();
}

/// A place among the packed weights, to write.
template <typename T>
T* writable(const std::byte* place) {
    return reinterpret_cast<T*>(const_cast<std::byte*>(place));
}

/// Packs a packed row as words, too, and returns its least exponent.
int join_row(const PairKernels& kernels, std::int64_t depth, std::int64_t row, const PackedWeights& packed) {
    const auto* const numbers = reinterpret_cast<const float*>(packed.rows) + row * packed.row_stride;
    auto* const words = const_cast<float*>(packed.pairs) + row * packed_row_stride<float>(words_of_pairs(depth));
    kernels.join(numbers, depth, words);
    return kernels.least_exponent(numbers, depth);
}

void take_lesser(std::atomic<int>& least, int other) {
    int known = least.load(std::memory_order_relaxed);
    while (other < known && !least.compare_exchange_weak(known, other, std::memory_order_relaxed)) continue;
}

/// Packed rows as the array that they are.
template <typename T>
ConstArray in_rows(const WeightSizes& sizes, const PackedWeights& packed) {
    ByteStrides strides = dense_strides(sizes.in_channels, sizes.kernel, std::int64_t(sizeof(T)));
    strides[0] = packed.row_stride * std::int64_t(sizeof(T));
    return {packed.rows, strides};
}

}  // namespace

template <typename T>
std::size_t LayerWeights::place(const std::vector<Part>& parts, const KernelSet& kernels, bool in_pairs,
                                std::byte* start) {
    Carver carver(start);
    const auto take = [&](std::int64_t count) {
        return reinterpret_cast<std::byte*>(carver.take<T>(std::size_t(count)));
    };
    const std::byte* const bias = take(parts.front().sizes.rows());
    // Phases with equally many taps take turns: a product may have their rows as one matrix.
    struct Turns {
        std::ptrdiff_t all = 0, before = 0;
        const std::byte* rows = nullptr;
    };
    std::map<Extent, Turns> turns_of;
    for (const Part& part : parts) ++turns_of[part.sizes.kernel].all;
    parts_.clear();
    for (const Part& part : parts) {
        const WeightSizes& sizes = part.sizes;
        PackedWeights at{};
        at.kernels = &kernels;
        const std::ptrdiff_t stride = packed_row_stride<T>(sizes.depth());
        Turns& turns = turns_of.find(sizes.kernel)->second;
        at.row_stride = stride * turns.all;
        if (turns.before == 0) turns.rows = take(sizes.rows() * at.row_stride);
        if (start) at.rows = turns.rows + turns.before * stride * std::ptrdiff_t(sizeof(T));
        ++turns.before;
        const WeightSizes in_panels = panel_sizes(sizes);
        at.panels = take(in_panels.groups * PanelLayout(in_panels, kernels_of<T>(kernels)).group_elements());
        at.bias = bias;
        const std::ptrdiff_t words = packed_row_stride<float>(words_of_pairs(sizes.depth()));
        if (in_pairs) at.pairs = carver.take<float>(std::size_t(sizes.rows() * words));
        parts_.push_back(at);
    }
    return carver.used();
}

template <typename T>
Status LayerWeights::pack_real(const std::vector<Part>& parts, const ConvShape& shape, const KernelSet& set,
                               const ConstArray& bias, const Packers& packers) {
    const Kernels<T>& kernels = kernels_of<T>(set);
    const DType stored = parts.front().weight.stored;
    const bool in_pairs = has_pairs(set, stored);
    Checked elements;
    for (const Part& part : parts) elements = elements + packed_elements(part.sizes, kernels, in_pairs);
    if (!(elements * std::int64_t(sizeof(T))).valid()) {
        return {StatusCode::size_overflow, "the packed weights have more than 2⁶³ − 1 bytes"};
    }
    memory_ = AlignedBuffer(place<T>(parts, set, in_pairs, nullptr));
    if (!memory_.data()) return {StatusCode::out_of_memory, "out of memory for the packed weights"};
    place<T>(parts, set, in_pairs, memory_.data());
    const HalfKernels<T>* const half = half_kernels<T>(set, stored);
    pack_bias(shape, half_kernels<T>(set, bias.stored), bias, parts.front().sizes.rows(),
              writable<T>(parts_.front().bias));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const Part& part = parts[i];
        const std::ptrdiff_t stride = parts_[i].row_stride;
        T* const to = writable<T>(parts_[i].rows);
        std::atomic<int> least_exponent{no_exponent};
        packers.share(part.sizes.rows(), [&](std::int64_t row) {
            pack_row(half, part.sizes, part.weight, row, to + row * stride);
            if constexpr (std::is_same_v<T, float>) {
                if (in_pairs) take_lesser(least_exponent, join_row(set.pairs, part.sizes.depth(), row, parts_[i]));
            }
        });
        parts_[i].least_exponent = least_exponent;
        // From the rows, because those of different groups may lie anywhere in the caller's array.
        const ConstArray rows = in_rows<T>(part.sizes, parts_[i]);
        WeightSizes sizes = part.sizes;
        sizes.in_before_out = false;
        sizes = panel_sizes(sizes);
        const PanelLayout layout(sizes, kernels);
        std::atomic<bool> finite{true};
        packers.share(sizes.groups * layout.panels(), [&](std::int64_t index) {
            const std::int64_t group = index / layout.panels(), panel = index % layout.panels();
            T* const packed = writable<T>(parts_[i].panels) + layout.at(group, panel);
            pack_panel<T>(kernels, nullptr, sizes, rows, group, panel, 0, layout.depth, packed);
            const auto vectors = int(layout.width_of(panel) / layout.lanes);
            if (!all_finite(kernels, packed, vectors, layout.depth)) finite.store(false, std::memory_order_relaxed);
        });
        parts_[i].finite = finite;
    }
    weight_ = in_rows<T>(parts.front().sizes, parts_.front());
    bias_ = {parts_.front().bias, {shape.parts * std::int64_t(sizeof(T))}};
    return {};
}

template <typename T>
Status LayerWeights::pack(Task task, const ConvShape& shape, const KernelSet& kernels, const ConstArray& weight,
                          const ConstArray& bias, const Packers& packers) {
    if (shape.parts == 1) return pack_real<T>(parts_of(task, shape, weight), shape, kernels, bias, packers);
    const WeightSizes sizes = weight_sizes(shape), complex_sizes = complex_weight_sizes(shape);
    const AlignedBuffer rows(std::size_t(sizes.rows() * sizes.depth()) * sizeof(T));
    if (!rows.data()) return {StatusCode::out_of_memory, "out of memory for the real weights of complex ones"};
    packers.share(complex_sizes.rows(), [&](std::int64_t row) {
        expand_row(complex_sizes, weight, row, task == Task::transpose,
                   reinterpret_cast<T*>(rows.data()) + shape.parts * row * sizes.depth(),
                   std::ptrdiff_t(sizes.depth()));
    });
    const ConstArray real(rows.data(), dense_strides(sizes.in_channels, sizes.kernel, std::int64_t(sizeof(T))));
    return pack_real<T>(parts_of(task, shape, real), shape, kernels, bias, packers);
}

Status LayerWeights::pack(Task task, const ConvShape& shape, DType dtype, const KernelSet& kernels,
                          const ConstArray& weight, const ConstArray& bias, const Packers& packers) {
    const auto pack_parts = computes_in_float(dtype) ? &LayerWeights::pack<float> : &LayerWeights::pack<double>;
    return (this->*pack_parts)(task, shape, kernels, weight, bias, packers);
}

}  // namespace flatconv
