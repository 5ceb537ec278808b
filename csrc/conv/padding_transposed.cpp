// The transpose of a convolution whose padding repeats pixels: what the padding receives goes back to them.
//
// The pixels themselves are those of the transpose with zeros for padding. The padding around them is computed in
// pieces, each a transpose of its own into a small array, and added to the pixels that it repeats: first the padding
// before and after the image along the first axis, then along the next, each in row-major order. So each pixel adds up
// in an order that depends neither on the pieces nor on threads.
#include <algorithm>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "base/checked.hpp"
#include "conv/transposed.hpp"
#include "problem/padding.hpp"
#include "problem/stored.hpp"

namespace flatconv {

namespace {

/// Coordinates of the padded image, counted from the image's own first pixel.
struct Box {
    Extent first;
    Extent size;

    std::int64_t pixels() const { return size[0] * size[1] * size[2]; }
};

/// An axis of the padded image, up to where a kernel reaches: beyond, nothing is received.
std::int64_t padded_size(const ConvShape& shape, std::size_t axis) {
    const std::int64_t steps = shape.output[axis] > 1 ? (shape.output[axis] - 1) * shape.stride[axis] : 0;
    const std::int64_t read = steps + (shape.kernel[axis] - 1) * shape.dilation[axis] + 1;
    return std::max(read, shape.pad_before[axis] + shape.input[axis]);
}

/// Whether the padded image, of which every pixel is computed, can be addressed.
Status check_padded_size(const ConvShape& shape) {
    Checked bytes = Checked(shape.groups * shape.in_channels) * std::int64_t(sizeof(double));
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) bytes = bytes * padded_size(shape, axis);
    if (bytes.valid()) return {};
    return {StatusCode::size_overflow, "the padded image of this gradient has more than 2⁶³ − 1 bytes"};
}

/// visit(box) for the parts of the padding, in the order in which they are added.
template <typename Visit>
void for_each_slab(const ConvShape& shape, const Visit& visit) {
    Box box;
    Extent end;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        box.first[axis] = -shape.pad_before[axis];
        box.size[axis] = padded_size(shape, axis);
        end[axis] = box.first[axis] + box.size[axis];
    }
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
        box.size[axis] = shape.pad_before[axis];
        if (box.pixels() > 0) visit(static_cast<const Box&>(box));
        box.first[axis] = shape.input[axis];
        box.size[axis] = end[axis] - shape.input[axis];
        if (box.pixels() > 0) visit(static_cast<const Box&>(box));
        box.first[axis] = 0;
        box.size[axis] = shape.input[axis];
    }
}

/// visit(piece) for boxes of at most `pixels` pixels that make up `box`, in row-major order.
template <typename Visit>
void for_each_piece(const Box& box, std::int64_t pixels, const Visit& visit) {
    Extent most;
    for (std::size_t axis = max_spatial_rank; axis-- > 0;) {
        most[axis] = std::clamp<std::int64_t>(pixels, 1, box.size[axis]);
        // An axis is cut only where those after it are whole.
        pixels = most[axis] == box.size[axis] ? pixels / most[axis] : 1;
    }
    Extent at;
    for (at[0] = 0; at[0] < box.size[0]; at[0] += most[0]) {
        for (at[1] = 0; at[1] < box.size[1]; at[1] += most[1]) {
            for (at[2] = 0; at[2] < box.size[2]; at[2] += most[2]) {
                Box piece;
                for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) {
                    piece.first[axis] = box.first[axis] + at[axis];
                    piece.size[axis] = std::min(most[axis], box.size[axis] - at[axis]);
                }
                visit(static_cast<const Box&>(piece));
            }
        }
    }
}

/// The transpose that computes a piece of one padded image as if it were the image.
ConvShape shape_of(const Box& piece, const ConvShape& shape) {
    ConvShape part = shape;
    part.batch = 1;
    part.input = piece.size;
    for (std::size_t axis = 0; axis < max_spatial_rank; ++axis) part.pad_before[axis] += piece.first[axis];
    part.padding_mode = PaddingMode::zeros;
    return part;
}

/// Pieces hold what y does. So where that is halves, each number is rounded when it is added.
template <typename Stored>
class RepeatedPaddingPlan final : public ConvPlan {
  public:
    RepeatedPaddingPlan(PlanRequest request, Algorithm wanted, WorkspaceLimit& limit, bool& fits)
        : shape_(request.shape), channels_(shape_.groups * shape_.in_channels) {
        std::int64_t most_pixels = 0;
        const std::int64_t wished_pixels =
            std::max<std::int64_t>(request.band_bytes / std::int64_t(sizeof(Stored)) / channels_, 1);
        for_each_slab(shape_, [&](const Box& slab) {
            for_each_piece(slab, wished_pixels, [&](const Box& piece) {
                pieces_.push_back({piece, nullptr});
                most_pixels = std::max(most_pixels, piece.pixels());
            });
        });
        sum_bytes_ = round_up(channels_ * most_pixels * std::int64_t(sizeof(Stored)), std::int64_t(cache_line));
        request.reserved_bytes += sum_bytes_;
        request.shape.padding_mode = PaddingMode::zeros;
        SharedWorkspace shared(limit);
        const auto include_part = [&](std::unique_ptr<ConvPlan>& plan) {
            return shared.include([&](WorkspaceLimit& own) {
                if (!plan_zero_padded(request, wanted, own, plan)) return false;
                include(*plan);
                return true;
            });
        };
        bool goes_on = include_part(image_);
        for (Piece& piece : pieces_) {
            if (!goes_on) break;
            request.shape = shape_of(piece.box, shape_);
            request.y_in_rows = !stored_as_half<Stored> && shape_.parts == 1;
            request.channels_dense = false;
            goes_on = include_part(piece.plan);
        }
        fits = !shared.refused() || limit.allows(shared.needed());
    }

    double cycles() const override { return cycles_; }
    std::size_t workspace_bytes() const override { return sum_bytes_ + part_bytes_; }

    void run(const ConvArrays& arrays, const Runtime& runtime, std::byte* workspace) const override {
        image_->run(arrays, runtime, workspace + sum_bytes_);
        for (std::int64_t image = 0; image < shape_.batch; ++image) {
            for (const auto& [piece, plan] : pieces_) {
                if (runtime.cancellation.poll()) return;
                ConvArrays part = arrays;
                part.x.data = static_cast<const std::byte*>(arrays.x.data) + image * arrays.x.byte_strides[0];
                part.y = {workspace, dense_strides(channels_ / shape_.parts, piece.size,
                                                   shape_.parts * std::int64_t(sizeof(Stored)))};
                plan->run(part, runtime, workspace + sum_bytes_);
                add(piece, reinterpret_cast<const Stored*>(workspace),
                    static_cast<std::byte*>(arrays.y.data) + image * arrays.y.byte_strides[0], arrays.y.byte_strides);
            }
        }
    }

  private:
    struct Piece {
        Box box;
        std::unique_ptr<ConvPlan> plan;
    };

    void include(const ConvPlan& plan) {
        cycles_ += plan.cycles();
        part_bytes_ = std::max(part_bytes_, plan.workspace_bytes());
    }

    /// Adds every element of a piece to the pixel that it repeats.
    void add(const Box& piece, const Stored* from, std::byte* image, const ByteStrides& strides) const {
        const auto source = [&](std::int64_t at, std::size_t axis) {
            return source_index(shape_.padding_mode, piece.first[axis] + at, shape_.input[axis]) * strides[axis + 2];
        };
        for (std::int64_t c = 0; c < channels_ / shape_.parts; ++c) {
            for (std::int64_t d = 0; d < piece.size[0]; ++d) {
                for (std::int64_t h = 0; h < piece.size[1]; ++h) {
                    std::byte* const line = image + c * strides[1] + source(d, 0) + source(h, 1);
                    for (std::int64_t w = 0; w < piece.size[2]; ++w) {
                        std::byte* pixel = line + source(w, 2);
                        for (std::int64_t p = 0; p < shape_.parts; ++p, pixel += sizeof(Stored)) {
                            store<Stored>(pixel, 0, load<Stored>(pixel, 0) + load<Stored>(from++, 0));
                        }
                    }
                }
            }
        }
    }

    const ConvShape shape_;
    const std::int64_t channels_;
    std::unique_ptr<ConvPlan> image_;
    std::vector<Piece> pieces_;
    std::size_t sum_bytes_ = 0;
    std::size_t part_bytes_ = 0;
    double cycles_ = 0;
};

}  // namespace

Status plan_transposed(PlanRequest request, Algorithm wanted, std::size_t workspace_limit,
                       std::unique_ptr<ConvPlan>& chosen) {
    WorkspaceLimit limit(workspace_limit);
    bool fits = false;
    if (request.shape.padding_mode == PaddingMode::zeros) {
        fits = plan_zero_padded(request, wanted, limit, chosen);
        return fits ? Status{} : limit.too_small("convolution");
    }
    if (Status status = check_padded_size(request.shape); !status) return status;
    for (;; request.band_bytes /= 2) {
        with_stored(request.dtype, [&](auto stored) {
            using Plan = RepeatedPaddingPlan<decltype(stored)>;
            chosen = std::make_unique<Plan>(request, wanted, limit, fits);
        });
        if (fits) return {};
        if (request.band_bytes <= least_band_bytes) return limit.too_small("gradient");
    }
}

}  // namespace flatconv
