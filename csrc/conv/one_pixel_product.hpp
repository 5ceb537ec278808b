// One task of the product for a single pixel: a matrix of weights times a vector, which is bound by reading the
// weights.
#ifndef FLATCONV_CONV_ONE_PIXEL_PRODUCT_HPP
#define FLATCONV_CONV_ONE_PIXEL_PRODUCT_HPP

#include "conv/one_pixel_blocking.hpp"
#include "conv/output_band.hpp"

namespace flatconv {

/// Blocks of depth are sums of their own, so that those of one panel may go side by side as well as those of several.
template <typename T>
class OnePixelTask {
  public:
    OnePixelTask(const OnePixelBlocking<T>& blocking, const ConvArrays& arrays, const Operands<T>& operands,
                 const OnePixelWorkspace<T>& workspace, std::int64_t index)
        : blocking_(blocking),
          shape_(blocking.shape),
          arrays_(arrays),
          operands_(operands),
          workspace_(workspace),
          task_(shape_, blocking.bands, index),
          y_(shape_, task_, arrays, operands, blocking.half_y) {}

    void run(parallel::Cancellation& cancellation) {
        gather_pixel();
        const std::int64_t whole = shape_.depth / depth_block, rest = shape_.depth % depth_block;
        if (whole > 0) multiply({0, whole, depth_block}, cancellation);
        if (rest > 0) multiply({whole, whole + 1, rest}, cancellation);
        if (cancellation.stopped()) return;
        add_blocks();
        // Halves are finished in a memory of their own, which has room for one panel.
        const std::int64_t at_once = blocking_.half_y ? blocking_.panels.width : task_.rows;
        for (std::int64_t row = 0; row < task_.rows; row += at_once) {
            y_.finish_channels(blocking_.kernels, workspace_.sums + row, stride(), row,
                               std::min(at_once, task_.rows - row), blocking_.transposes, workspace_.rows);
        }
    }

  private:
    /// Blocks of depth of one length.
    struct Blocks {
        std::int64_t first, end, length;
    };

    /// Chains that go side by side, all of so many vectors.
    static constexpr int most_chains = 4;
    struct Bundle {
        PixelChain<T> chains[most_chains];
        int count = 0, vectors = 0;
    };

    std::int64_t stride() const { return blocking_.sums_stride(); }

    void gather_pixel() const {
        const std::int64_t stride = arrays_.x.byte_strides[1], first = task_.group * shape_.in_channels;
        const auto* const x = static_cast<const std::byte*>(arrays_.x.data);
        if (blocking_.half_x) {
            blocking_.half_x->widen({x + first * stride, 0, stride, 1, shape_.depth, workspace_.x, 0});
        } else if (shape_.parts == 1 && stride == std::int64_t(sizeof(T))) {
            std::memcpy(workspace_.x, x + first * stride, std::size_t(shape_.depth) * sizeof(T));
        } else {
            for (std::int64_t c = 0; c < shape_.depth; ++c) {
                std::memcpy(workspace_.x + c, x + shape_.channel_at(stride, first + c, sizeof(T)), sizeof(T));
            }
        }
    }

    void multiply(const Blocks& blocks, parallel::Cancellation& cancellation) const {
        const std::int64_t width = blocking_.from_rows ? blocking_.kernels.lanes : blocking_.panels.width;
        const std::int64_t units = ceil_div(task_.rows, width), all = units * (blocks.end - blocks.first);
        const std::int64_t at_once = even_tile(all, most_chains);
        // To ask for each unit would take a good part of the time.
        constexpr std::int64_t many = 1 << 20;
        std::int64_t unasked = 0;
        Bundle bundle;
        for (std::int64_t unit = 0; unit < units; ++unit) {
            if ((unasked += width * shape_.depth) > many) {
                if (cancellation.poll()) return;
                unasked = 0;
            }
            const std::int64_t row = unit * width, panel = (task_.first_row + row) / blocking_.panels.width;
            const std::int64_t channels = blocking_.from_rows ? width : blocking_.panels.width_of(panel);
            const auto vectors = int(channels / blocking_.kernels.lanes);
            if (vectors != bundle.vectors) flush(bundle, blocks.length);
            bundle.vectors = vectors;
            for (std::int64_t block = blocks.first; block < blocks.end; ++block) {
                const std::int64_t depth = block * depth_block;
                bundle.chains[bundle.count++] = {workspace_.x + depth, weights(row, panel, depth, blocks.length),
                                                 workspace_.sums + block * stride() + row};
                if (blocking_.packs() || bundle.count == at_once) flush(bundle, blocks.length);
            }
        }
        flush(bundle, blocks.length);
    }

    /// The weights of the channels from the task's row `row` on.
    const T* weights(std::int64_t row, std::int64_t panel, std::int64_t depth, std::int64_t length) const {
        if (blocking_.packs()) {
            pack_panel(blocking_.kernels, blocking_.half_panels, weight_sizes(shape_), arrays_.weight, task_.group,
                       panel, depth, length, workspace_.panel);
            return workspace_.panel;
        }
        if (!blocking_.from_rows) {
            return operands_.panels + blocking_.panels.at(task_.group, panel) +
                   depth * blocking_.panels.width_of(panel);
        }
        // The last rows are no whole vector: some before them are computed once more.
        const std::int64_t first = std::min(row, task_.rows - blocking_.kernels.lanes);
        return operands_.weights.data +
               (task_.group * shape_.out_channels + task_.first_row + first) * operands_.weights.stride + depth;
    }

    void flush(Bundle& bundle, std::int64_t depth) const {
        if (bundle.count == 0) return;
        const auto kernel = blocking_.from_rows ? blocking_.kernels.chain_rows : blocking_.kernels.chain_panels;
        kernel({bundle.chains, bundle.count, depth, bundle.vectors, operands_.weights.stride});
        bundle.count = 0;
    }

    /// In their order, into the first block's sums.
    void add_blocks() const {
        T* const sums = workspace_.sums;
        const std::int64_t whole = round_up(task_.rows, blocking_.kernels.lanes);
        if (shape_.depth == 0) std::fill_n(sums, whole, T(0));
        for (std::int64_t block = 1; block < blocking_.blocks(); ++block) {
            const T* const added = sums + block * stride();
            for (std::int64_t r = 0; r < whole; ++r) sums[r] += added[r];
        }
        // The last rows are behind those that were computed once more with them.
        const std::int64_t last = task_.rows % blocking_.kernels.lanes;
        if (blocking_.from_rows) std::copy_n(sums + whole - last, last, sums + task_.rows - last);
    }

    const OnePixelBlocking<T>& blocking_;
    const ConvShape& shape_;
    const ConvArrays& arrays_;
    const Operands<T>& operands_;
    const OnePixelWorkspace<T>& workspace_;
    const BandTask task_;
    const OutputBand<T> y_;
};

}  // namespace flatconv

#endif
