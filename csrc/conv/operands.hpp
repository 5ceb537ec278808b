// Weights and bias as the tasks of a call read them: the caller's own, packed for the call, or packed before it.
#ifndef FLATCONV_CONV_OPERANDS_HPP
#define FLATCONV_CONV_OPERANDS_HPP

#include <atomic>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "conv/activation_steps.hpp"
#include "conv/algorithm.hpp"
#include "gemm/gemm.hpp"

namespace flatconv {

template <typename T>
struct Operands {
    WeightRows<T> weights;  // where rows are wanted
    const T* panels;        // where panels are wanted
    bool finite;            // the panels are known to be, all of them
    const T* bias;          // dense, one for each output channel of all groups
    ActivationSteps<T> activation;
};

/// Which order an algorithm wants the weights in, if it does not read the caller's own.
enum class WeightOrder {
    rows,
    panels,
    checked_panels,  // and whether they are finite
    none,
};

inline bool is_panels(WeightOrder order) {
    return order == WeightOrder::panels || order == WeightOrder::checked_panels;
}

/// The memory of the operands that are made for the call, and how they are made.
template <typename T>
struct OperandWorkspace {
    T* weights;
    T* bias;

    OperandWorkspace(const PlanRequest& request, WeightOrder order, Carver& carver) : weights(nullptr), bias(nullptr) {
        if (request.weights == WeightForm::packed) return;
        const WeightSizes sizes = weight_sizes(request.shape);
        if (is_panels(order)) {
            const WeightSizes in_panels = panel_sizes(sizes);
            const PanelLayout layout(in_panels, kernels_of<T>(*request.kernels));
            weights = carver.take<T>(std::size_t(in_panels.groups * layout.group_elements()));
        } else if (order == WeightOrder::rows && request.weights == WeightForm::strided) {
            weights = carver.take<T>(std::size_t(sizes.rows()) * std::size_t(packed_row_stride<T>(sizes.depth())));
        }
        bias = carver.take<T>(std::size_t(sizes.rows()));
    }
};

/// Dense, and never −0: a sum of −0, which depends on what underflowed on the way, becomes 0 like all others. `half`
/// reads a bias of halves; else it is null.
template <typename T>
void pack_bias(const ConvShape& shape, const HalfKernels<T>* half, const ConstArray& bias, std::int64_t rows,
               T* packed) noexcept {
    const auto* from = static_cast<const std::byte*>(bias.data);
    for (std::int64_t row = 0; row < rows; ++row) {
        T value = 0;
        const std::int64_t at = shape.channel_at(bias.byte_strides[0], row, sizeof(T));
        if (from && half) half->widen({from + at, 0, 0, 1, 1, &value, 0});
        if (from && !half) std::memcpy(&value, from + at, sizeof(T));
        packed[row] = value + T(0);
    }
}

/// Packs what the call needs packed.
template <typename T>
Operands<T> make_operands(const PlanRequest& request, WeightOrder order, int participants, const ConvArrays& arrays,
                          const Runtime& runtime, std::byte* workspace) {
    const WeightSizes sizes = weight_sizes(request.shape);
    const ActivationSteps<T> activation(request.activation);
    if (const PackedWeights* packed = arrays.packed) {
        return {{reinterpret_cast<const T*>(packed->rows), packed->row_stride},
                reinterpret_cast<const T*>(packed->panels),
                packed->finite,
                reinterpret_cast<const T*>(packed->bias),
                activation};
    }
    Carver carver(workspace);
    const OperandWorkspace<T> own(request, order, carver);
    const HalfKernels<T>* const half = halves_of_weights<T>(request);
    pack_bias(request.shape, half_kernels<T>(*request.kernels, arrays.bias.stored), arrays.bias, sizes.rows(),
              own.bias);
    if (is_panels(order)) {
        std::atomic<bool> finite{order == WeightOrder::checked_panels};
        const Kernels<T>& kernels = kernels_of<T>(*request.kernels);
        const WeightSizes in_panels = panel_sizes(sizes);
        const PanelLayout layout(in_panels, kernels);
        parallel::for_each_task(
            runtime.executor, participants, in_panels.groups * layout.panels(),
            [&](int, std::int64_t task) {
                const std::int64_t group = task / layout.panels(), panel = task % layout.panels();
                T* const to = own.weights + layout.at(group, panel);
                pack_panel(kernels, half, in_panels, arrays.weight, group, panel, 0, layout.depth, to);
                if (order != WeightOrder::checked_panels) return;
                const auto vectors = int(layout.width_of(panel) / layout.lanes);
                if (!all_finite(kernels, to, vectors, layout.depth)) finite.store(false, std::memory_order_relaxed);
            },
            &runtime.cancellation);
        return {{}, own.weights, finite.load(std::memory_order_relaxed), own.bias, activation};
    }
    if (!own.weights) {
        const auto stride = std::ptrdiff_t(arrays.weight.byte_strides[0] / std::int64_t(sizeof(T)));
        return {{static_cast<const T*>(arrays.weight.data), stride}, nullptr, false, own.bias, activation};
    }
    const std::ptrdiff_t stride = packed_row_stride<T>(sizes.depth());
    parallel::for_each_task(
        runtime.executor, participants, sizes.rows(),
        [&](int, std::int64_t row) { pack_row(half, sizes, arrays.weight, row, own.weights + row * stride); },
        &runtime.cancellation);
    return {{own.weights, stride}, nullptr, false, own.bias, activation};
}

}  // namespace flatconv

#endif
