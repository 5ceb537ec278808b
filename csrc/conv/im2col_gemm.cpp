// im2col in bands, times the weights: the general algorithm, for every rank, stride, dilation, group and padding.
//
// Each task takes one band of output pixels through all of depth. Per block of depth it pads the channels that are new,
// lays the block's part of the region matrix out in panels, and multiplies. Padded channels live in a ring just large
// enough for one block, so each is padded once for each band, and memory depends on neither image nor batch.
#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "conv/algorithm.hpp"
#include "conv/band_plan.hpp"
#include "gemm/gemm.hpp"
#include "gemm/weights.hpp"
#include "im2col/padded_band.hpp"
#include "im2col/panels.hpp"

namespace flatconv {

namespace {

/// What the panels of one band may take; beside it, the padded band takes about as much again.
constexpr std::int64_t panel_bytes = 512 * 1024;

/// More pixels gain nothing, and bands should be many enough to share.
constexpr std::int64_t most_pixels = 2048;

/// Everything that is decided before the first element is touched.
template <typename T>
struct Blocking {
    explicit Blocking(const PlanRequest& request)
        : kernels(kernels_of<T>(*request.kernels)),
          shape(request.shape),
          pack_weights(!request.weights_in_rows),
          block(std::clamp<std::int64_t>(shape.depth, 1, depth_block)),
          bands(plan_bands(shape, {kernels.tile_rows, kernels.tile_cols},
                           std::min(most_pixels, panel_bytes / std::int64_t(sizeof(T)) / block), request.threads)),
          layout(shape, bands.box),
          ring(std::min(shape.in_channels, ceil_div(block - 1, shape.taps) + 1)),
          panels(ceil_div(bands.box[0] * bands.box[1] * bands.box[2], kernels.tile_cols)),
          panel_stride(round_up(block * kernels.tile_cols + kernels.lanes, 64 / std::int64_t(sizeof(T)))),
          participants(int(std::min<std::int64_t>(request.threads, bands.tasks))) {}

    const Kernels<T>& kernels;
    const ConvShape shape;
    const bool pack_weights;
    const std::int64_t block;  // of depth
    const BandPlan bands;
    const BandLayout layout;
    const std::int64_t ring;  // channels
    const std::int64_t panels;
    const std::int64_t panel_stride;
    const int participants;
};

/// The memory of one participant.
template <typename T>
struct Workspace {
    T* ring;
    T* panels;
    std::ptrdiff_t* offsets;  // of each depth of the block, in the ring
    VectorCopy* copies;       // tile_cols for each panel
    int* copy_counts;
    std::int64_t* pixel_at;  // see OutputBand
    T* scratch;              // one tile

    Workspace(const Blocking<T>& blocking, Carver& carver) {
        const auto cols = std::size_t(blocking.kernels.tile_cols);
        const auto panel_count = std::size_t(blocking.panels);
        // Copies run on past a row's end by less than a panel's width.
        ring = carver.take<T>(std::size_t(blocking.ring * blocking.layout.channel_length()) + cols);
        panels = carver.take<T>(panel_count * std::size_t(blocking.panel_stride));
        offsets = carver.take<std::ptrdiff_t>(std::size_t(blocking.block));
        copies = carver.take<VectorCopy>(panel_count * cols);
        copy_counts = carver.take<int>(panel_count);
        pixel_at = carver.take<std::int64_t>(panel_count * cols);
        scratch = carver.take<T>(std::size_t(blocking.kernels.tile_rows) * cols);
    }
};

/// The memory that all participants read.
template <typename T>
struct SharedWorkspace {
    T* weights;  // packed rows, where the caller's cannot be read as they lie; else null
    T* bias;

    SharedWorkspace(const Blocking<T>& blocking, Carver& carver) {
        const auto rows = std::size_t(blocking.shape.groups * blocking.shape.out_channels);
        const auto stride = std::size_t(packed_row_stride<T>(blocking.shape.depth));
        weights = blocking.pack_weights ? carver.take<T>(rows * stride) : nullptr;
        bias = carver.take<T>(rows);
    }
};

/// One task's walk through depth.
template <typename T>
class BandProduct {
  public:
    BandProduct(const Blocking<T>& blocking, const ConvArrays& arrays, const Runtime& runtime,
                const Workspace<T>& workspace, WeightRows<T> weights, const T* bias)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          runtime_(runtime),
          workspace_(workspace),
          weights_(weights),
          bias_(bias) {}

    void run(std::int64_t task) {
        locate(task);
        plan_panels();
        std::int64_t depth = 0;
        // Without depth, one empty block still writes the bias.
        do {
            if (runtime_.cancellation.poll()) return;
            const std::int64_t length = std::min(blocking_.block, shape_.depth - depth);
            pad_channels(ceil_div(depth + length, shape_.taps));
            place_depths(depth, length);
            pack_panels(length);
            multiply(depth, length);
            depth += length;
        } while (depth < shape_.depth);
    }

  private:
    void locate(std::int64_t task) {
        const BandPlan& bands = blocking_.bands;
        const std::int64_t part = task % bands.row_parts;
        task /= bands.row_parts;
        box_ = bands.at(shape_, task % bands.boxes());
        task /= bands.boxes();
        const std::int64_t group = task % shape_.groups;
        image_ = task / shape_.groups;
        first_channel_ = group * shape_.in_channels;
        first_row_ = group * shape_.out_channels + part * bands.rows;
        rows_ = std::min(bands.rows, shape_.out_channels - part * bands.rows);
        pixels_ = box_.pixels();
        padded_channels_ = 0;
    }

    void plan_panels() {
        const int tile_cols = blocking_.kernels.tile_cols;
        for (std::int64_t first = 0, panel = 0; first < pixels_; first += tile_cols, ++panel) {
            const int cols = int(std::min<std::int64_t>(tile_cols, pixels_ - first));
            workspace_.copy_counts[panel] = plan_copies(blocking_.layout, box_, first, cols, blocking_.kernels.lanes,
                                                        workspace_.copies + panel * tile_cols);
        }
        const ByteStrides& strides = arrays_.y.byte_strides;
        y_ = {static_cast<std::byte*>(arrays_.y.data) + image_ * strides[0] + first_row_ * strides[1] +
                  box_.first[0] * strides[2] + box_.first[1] * strides[3] + box_.first[2] * strides[4],
              strides[1], nullptr};
        if (consecutive(strides)) return;
        std::int64_t* at = workspace_.pixel_at;
        for (std::int64_t d = 0; d < box_.size[0]; ++d) {
            for (std::int64_t h = 0; h < box_.size[1]; ++h) {
                for (std::int64_t w = 0; w < box_.size[2]; ++w) {
                    *at++ = d * strides[2] + h * strides[3] + w * strides[4];
                }
            }
        }
        y_.pixel_at = workspace_.pixel_at;
    }

    /// Whether the box's pixels are consecutive elements of y.
    bool consecutive(const ByteStrides& strides) const {
        if (reinterpret_cast<std::uintptr_t>(y_.data) % alignof(T) != 0) return false;
        std::int64_t dense = sizeof(T);
        for (int axis = max_spatial_rank - 1; axis >= 0; --axis) {
            if (box_.size[axis] > 1 && strides[axis + 2] != dense) return false;
            dense *= box_.size[axis];
        }
        return rows_ == 1 || strides[1] % std::int64_t(sizeof(T)) == 0;
    }

    T* ring_slot(std::int64_t channel) const {
        return workspace_.ring + channel % blocking_.ring * blocking_.layout.channel_length();
    }

    void pad_channels(std::int64_t end) {
        const ByteStrides& strides = arrays_.x.byte_strides;
        const auto* image = static_cast<const std::byte*>(arrays_.x.data) + image_ * strides[0];
        for (; padded_channels_ < end; ++padded_channels_) {
            blocking_.layout.pad_channel(shape_, image + (first_channel_ + padded_channels_) * strides[1],
                                         {strides[2], strides[3], strides[4]}, box_, ring_slot(padded_channels_));
        }
    }

    void place_depths(std::int64_t depth, std::int64_t length) {
        const auto [kernel_d, kernel_h, kernel_w] = shape_.kernel;
        std::int64_t channel = depth / shape_.taps, tap = depth % shape_.taps;
        std::int64_t kd = tap / (kernel_h * kernel_w), kh = tap / kernel_w % kernel_h, kw = tap % kernel_w;
        for (std::int64_t i = 0; i < length; ++i) {
            workspace_.offsets[i] =
                ring_slot(channel) - workspace_.ring + std::ptrdiff_t(blocking_.layout.tap_at(kd, kh, kw));
            if (++kw < kernel_w) continue;
            kw = 0;
            if (++kh < kernel_h) continue;
            kh = 0;
            if (++kd < kernel_d) continue;
            kd = 0;
            ++channel;
        }
    }

    void pack_panels(std::int64_t length) {
        const int tile_cols = blocking_.kernels.tile_cols;
        for (std::int64_t panel = 0; panel * tile_cols < pixels_; ++panel) {
            blocking_.kernels.pack_panel({workspace_.ring, workspace_.offsets, length,
                                          workspace_.copies + panel * tile_cols, workspace_.copy_counts[panel],
                                          workspace_.panels + panel * blocking_.panel_stride});
        }
    }

    void multiply(std::int64_t depth, std::int64_t length) {
        const bool last = depth + length == shape_.depth;
        multiply_block<T>(blocking_.kernels, {{weights_.data + first_row_ * weights_.stride + depth, weights_.stride},
                                              rows_,
                                              workspace_.panels,
                                              std::ptrdiff_t(blocking_.panel_stride),
                                              pixels_,
                                              length,
                                              y_,
                                              depth > 0,
                                              last && bias_ ? bias_ + first_row_ : nullptr,
                                              workspace_.scratch});
    }

    const Blocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Runtime& runtime_;
    const Workspace<T>& workspace_;
    const WeightRows<T> weights_;
    const T* const bias_;

    std::int64_t image_ = 0;
    PixelBox box_{};
    std::int64_t first_channel_ = 0;
    std::int64_t first_row_ = 0;
    std::int64_t rows_ = 0;
    std::int64_t pixels_ = 0;
    std::int64_t padded_channels_ = 0;
    OutputBand<T> y_{};
};

template <typename T>
class Im2colPlan final : public ConvPlan {
  public:
    explicit Im2colPlan(const PlanRequest& request) : blocking_(request) {
        Carver carver(nullptr);
        SharedWorkspace<T>(blocking_, carver);
        shared_bytes_ = carver.used();
        Workspace<T>(blocking_, carver);
        bytes_per_participant_ = carver.used() - shared_bytes_;
    }

    double cost() const override { return blocking_.bands.cost; }

    std::size_t workspace_bytes() const override {
        return shared_bytes_ + bytes_per_participant_ * std::size_t(blocking_.participants);
    }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        Carver carver(workspace);
        const SharedWorkspace<T> shared(blocking_, carver);
        const WeightRows<T> weights = rows_of(arrays, runtime, shared);
        const T* bias = dense_bias(arrays, shared);
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.bands.tasks,
            [&](int participant, std::int64_t task) {
                Carver own(workspace + shared_bytes_ + bytes_per_participant_ * std::size_t(participant));
                const Workspace<T> own_workspace(blocking_, own);
                BandProduct<T>(blocking_, arrays, runtime, own_workspace, weights, bias).run(task);
            },
            &runtime.cancellation);
    }

  private:
    WeightRows<T> rows_of(const ConvArrays& arrays, const Runtime& runtime, const SharedWorkspace<T>& shared) const {
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

    const T* dense_bias(const ConvArrays& arrays, const SharedWorkspace<T>& shared) const {
        if (!arrays.bias.data) return nullptr;
        const auto* from = static_cast<const std::byte*>(arrays.bias.data);
        for (std::int64_t row = 0; row < blocking_.shape.groups * blocking_.shape.out_channels; ++row) {
            std::memcpy(shared.bias + row, from + row * arrays.bias.byte_strides[0], sizeof(T));
        }
        return shared.bias;
    }

    const Blocking<T> blocking_;
    std::size_t shared_bytes_;
    std::size_t bytes_per_participant_;
};

}  // namespace

const ConvAlgorithm im2col_algorithm = {
    Algorithm::im2col,
    "im2col",
    [](const ConvShape&) { return true; },
    [](const PlanRequest& request) -> std::unique_ptr<ConvPlan> {
        if (request.dtype == DType::float32) return std::make_unique<Im2colPlan<float>>(request);
        return std::make_unique<Im2colPlan<double>>(request);
    },
};

}  // namespace flatconv
