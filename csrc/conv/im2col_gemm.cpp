// The weights times the region matrix, band by band: the general algorithms, for every rank, stride, dilation, group
// and padding.
//
// `im2col` lays each band of the region matrix out in contiguous memory. `implicit` computes the same product, but
// packs only the vectors of pixels that cross the end of a row; the others it reads from the padded band, or for 1×1
// kernels from the image itself.
#include <cstring>

#include "conv/band_product.hpp"

namespace flatconv {

namespace {

template <typename T>
class GemmPlan final : public ConvPlan {
  public:
    GemmPlan(const PlanRequest& request, Packing packing) : blocking_(request, packing) {
        Carver carver(nullptr);
        SharedGemmWorkspace<T>(blocking_, carver);
        shared_bytes_ = carver.used();
        GemmWorkspace<T>(blocking_, carver);
        bytes_per_participant_ = carver.used() - shared_bytes_;
    }

    double cost() const override { return blocking_.bands.cost; }

    std::size_t workspace_bytes() const override {
        return shared_bytes_ + bytes_per_participant_ * std::size_t(blocking_.participants);
    }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        Carver carver(workspace);
        const SharedGemmWorkspace<T> shared(blocking_, carver);
        const WeightRows<T> weights = rows_of(arrays, runtime, shared);
        const T* bias = dense_bias(arrays, shared);
        const auto workspace_of = [&](int participant) {
            Carver own(workspace + shared_bytes_ + bytes_per_participant_ * std::size_t(participant));
            return GemmWorkspace<T>(blocking_, own);
        };
        for (int p = 0; p < blocking_.participants; ++p) *workspace_of(p).planned = {-1, 0, -1};
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.bands.tasks,
            [&](int participant, std::int64_t task) {
                const GemmWorkspace<T> own = workspace_of(participant);
                BandProduct<T>(blocking_, arrays, runtime, own, weights, bias).run(task);
            },
            &runtime.cancellation);
    }

  private:
    WeightRows<T> rows_of(const ConvArrays& arrays, const Runtime& runtime,
                          const SharedGemmWorkspace<T>& shared) const {
        if (!shared.weights) {
            return {static_cast<const T*>(arrays.weight.data),
                    std::ptrdiff_t(arrays.weight.byte_strides[0] / std::int64_t(sizeof(T)))};
        }
        const WeightSizes sizes = weight_sizes(blocking_.shape);
        const std::ptrdiff_t stride = packed_row_stride<T>(blocking_.shape.depth);
        parallel::for_each_task(
            runtime.executor, blocking_.participants, sizes.out_channels,
            [&](int, std::int64_t row) { pack_row(sizes, arrays.weight, row, shared.weights + row * stride); },
            &runtime.cancellation);
        return {shared.weights, stride};
    }

    const T* dense_bias(const ConvArrays& arrays, const SharedGemmWorkspace<T>& shared) const {
        if (!arrays.bias.data) return nullptr;
        const auto* from = static_cast<const std::byte*>(arrays.bias.data);
        for (std::int64_t row = 0; row < blocking_.shape.groups * blocking_.shape.out_channels; ++row) {
            std::memcpy(shared.bias + row, from + row * arrays.bias.byte_strides[0], sizeof(T));
        }
        return shared.bias;
    }

    const GemmBlocking<T> blocking_;
    std::size_t shared_bytes_;
    std::size_t bytes_per_participant_;
};

template <Packing packing>
std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request) {
    if (request.dtype == DType::float32) return std::make_unique<GemmPlan<float>>(request, packing);
    return std::make_unique<GemmPlan<double>>(request, packing);
}

}  // namespace

const ConvAlgorithm im2col_algorithm = {Algorithm::im2col, make_plan<Packing::all>};
const ConvAlgorithm implicit_algorithm = {Algorithm::implicit, make_plan<Packing::crossing>};

}  // namespace flatconv
