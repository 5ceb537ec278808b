// The weights times the region matrix, band by band: the general algorithms, for every rank, stride, dilation, group
// and padding.
//
// `im2col` lays each band of the region matrix out in contiguous memory. `implicit` computes the same product, but
// packs only the vectors of pixels that cross the end of a row; the others it reads from the padded band, or for 1×1
// kernels from the image itself; or bfloat16 in pairs, for the CPU's dot product. `channels` turns the product around:
// lanes lie across output channels, for which the weights are packed into panels, and pixels are read one by one; where
// groups have one input channel each, or a few, lanes lie across many groups, and pixels are vectors as well, of a band
// or, where channels are innermost, of the image; and for a single pixel, the weights need no packing. `direct` is for
// few output channels: it makes no region matrix at all, and shares each row of a band, or of the image itself, among
// the rows of the kernel; transposed ones of single channels, too.
#include "conv/channel_columns_product.hpp"
#include "conv/channel_product.hpp"
#include "conv/channelwise_product.hpp"
#include "conv/direct_product.hpp"
#include "conv/image_product.hpp"
#include "conv/interleaved_product.hpp"
#include "conv/joined_images.hpp"
#include "conv/one_pixel_product.hpp"
#include "conv/operands.hpp"
#include "conv/pair_plan.hpp"
#include "conv/pixel_product.hpp"
#include "conv/transposed.hpp"
#include "conv/transposed_product.hpp"
#include "problem/messages.hpp"

namespace flatconv {

namespace {

template <typename T>
struct AcrossPixels {
    using Blocking = PixelBlocking<T>;
    using Workspace = PixelWorkspace<T>;
    using Task = PixelTask<T>;
    static WeightOrder weight_order(const Blocking&) { return WeightOrder::rows; }

    static std::string describe(const Blocking& blocking) {
        return std::string("lanes across pixels, tiles of ") + std::to_string(blocking.kernels.tile_rows) + " × " +
               std::to_string(blocking.kernels.tile_cols) + ", regions " +
               (blocking.in_place                  ? "read from the image"
                : blocking.packing == Packing::all ? "packed"
                                                   : "read from padded bands");
    }
};

template <typename T>
struct AcrossChannels {
    using Blocking = ChannelBlocking<T>;
    using Workspace = ChannelWorkspace<T>;
    using Task = ChannelTask<T>;
    static WeightOrder weight_order(const Blocking& blocking) {
        if (blocking.packs_in_tasks) return WeightOrder::none;
        return blocking.taps.leave_out() ? WeightOrder::checked_panels : WeightOrder::panels;
    }

    static std::string describe(const Blocking& blocking) {
        const Kernels<T>& kernels = blocking.kernels;
        return std::string("lanes across channels, tiles of ") +
               std::to_string(kernels.panel_rows[kernels.panel_vectors - 1]) + " × " +
               std::to_string(kernels.panel_vectors * kernels.lanes) + ", pixels read from " +
               (blocking.in_place ? "the image" : "padded bands");
    }
};

template <typename T>
struct ToOnePixel {
    using Blocking = OnePixelBlocking<T>;
    using Workspace = OnePixelWorkspace<T>;
    using Task = OnePixelTask<T>;
    static WeightOrder weight_order(const Blocking& blocking) {
        return blocking.from_rows ? WeightOrder::rows : WeightOrder::none;
    }

    static std::string describe(const Blocking& blocking) {
        return std::string("lanes across channels, of a single pixel, weights ") +
               (blocking.from_rows ? "transposed as they are read"
                : blocking.packs() ? "packed block by block"
                                   : "read from panels");
    }
};

template <typename T>
struct Channelwise {
    using Blocking = ChannelwiseBlocking<T>;
    using Workspace = ChannelwiseWorkspace<T>;
    using Task = ChannelwiseTask<T>;
    static WeightOrder weight_order(const Blocking& blocking) {
        return blocking.from_panels ? WeightOrder::panels : WeightOrder::rows;
    }

    static std::string describe(const Blocking& blocking) {
        const std::int64_t groups = ceil_div(std::int64_t(blocking.kernels.lanes), blocking.multiplier);
        return "lanes across the channels of " + std::to_string(groups) + " groups, pixels read from padded bands";
    }
};

template <typename T>
struct FromChannels {
    using Blocking = ChannelColumnsBlocking<T>;
    using Workspace = ChannelColumnsWorkspace<T>;
    using Task = ChannelColumnsTask<T>;
    static WeightOrder weight_order(const Blocking&) { return WeightOrder::panels; }

    static std::string describe(const Blocking& blocking) {
        return "lanes across the channels of " + std::to_string(blocking.kernels.lanes) + " groups, " +
               std::to_string(blocking.columns()) + " columns at a time, pixels read from the image";
    }
};

template <typename T>
struct Directly {
    using Blocking = DirectBlocking<T>;
    using Workspace = DirectWorkspace<T>;
    using Task = DirectTask<T>;
    static WeightOrder weight_order(const Blocking&) { return WeightOrder::rows; }

    static std::string describe(const Blocking& blocking) {
        return "lanes across pixels, tiles of whole rows from padded bands, " +
               counted(blocking.groups_per_task, "group") + " at a time";
    }
};

template <typename T>
struct FromImage {
    using Blocking = ImageBlocking<T>;
    using Workspace = ImageWorkspace<T>;
    using Task = ImageTask<T>;
    static WeightOrder weight_order(const Blocking&) { return WeightOrder::rows; }

    static std::string describe(const Blocking& blocking) {
        return std::string("lanes across pixels, ") + (blocking.lines ? "lines" : "strips of whole columns") +
               " read from the image, " + counted(blocking.groups_per_task, "group") + " at a time";
    }
};

template <typename T>
struct AcrossChannelsTransposed {
    using Blocking = TransposedBlocking<T>;
    using Workspace = TransposedWorkspace<T>;
    using Task = TransposedTask<T>;
    static WeightOrder weight_order(const Blocking& blocking) {
        return blocking.packs_in_tasks ? WeightOrder::none : WeightOrder::panels;
    }

    static std::string describe(const Blocking& blocking) {
        const auto phases = std::int64_t(blocking.phases.size());
        return counted(phases, "phase") + (phases == 1 ? "" : " together") + ", with lanes across channels";
    }
};

template <typename T>
struct Interleaved {
    using Blocking = InterleavedBlocking<T>;
    using Workspace = InterleavedWorkspace<T>;
    using Task = InterleavedTask<T>;
    static WeightOrder weight_order(const Blocking&) { return WeightOrder::none; }

    static std::string describe(const Blocking& blocking) {
        const auto phases = std::int64_t(blocking.rows.size());
        return counted(phases, "phase") + (phases == 1 ? "" : " interleaved") + ", with lanes across pixels";
    }
};

/// Whether pack_panel is all that reads the weights.
template <template <typename> class Way>
constexpr bool packs_panels_alone = false;
template <>
constexpr bool packs_panels_alone<AcrossChannels> = true;

template <typename T, template <typename> class Way>
class BlockedPlan final : public ConvPlan {
  public:
    template <typename... Choices>
    explicit BlockedPlan(const PlanRequest& request, Choices... choices)
        : request_(request),
          blocking_(request, choices...),
          workspaces_(
              blocking_.participants,
              [&](Carver& carver) { OperandWorkspace<T>(request_, Way<T>::weight_order(blocking_), carver); },
              [&](Carver& carver) { typename Way<T>::Workspace(blocking_, carver); }) {}

    double cycles() const override { return blocking_.cycles(); }

    std::size_t workspace_bytes() const override { return workspaces_.bytes(); }

    std::string describe() const override {
        const BandPlan& bands = blocking_.bands;
        return Way<T>::describe(blocking_) + ", " + counted(bands.tasks, "band") + " of " +
               std::to_string(bands.box[0] * bands.box[1] * bands.box[2]) + " pixels × " + std::to_string(bands.rows) +
               " channels";
    }

    bool reads_complex_weights() const override { return packs_panels_alone<Way>; }

    void run(const ConvArrays& called, const Runtime& runtime, std::byte* workspace) const override {
        const ConvArrays arrays = joined_arrays(request_.shape, blocking_.shape, called);
        const Operands<T> operands = make_operands<T>(request_, Way<T>::weight_order(blocking_), blocking_.participants,
                                                      arrays, runtime, workspace);
        const auto workspace_of = [&](int participant) {
            Carver own = workspaces_.own(workspace, participant);
            return typename Way<T>::Workspace(blocking_, own);
        };
        for (int p = 0; p < blocking_.participants; ++p) workspace_of(p).prepare(blocking_);
        parallel::for_each_task(
            runtime.executor, blocking_.participants, blocking_.tasks(),
            [&](int participant, std::int64_t index) {
                const typename Way<T>::Workspace own = workspace_of(participant);
                typename Way<T>::Task(blocking_, arrays, operands, own, index).run(runtime.cancellation);
            },
            &runtime.cancellation);
    }

  private:
    const PlanRequest request_;
    const typename Way<T>::Blocking blocking_;
    const Workspaces workspaces_;
};

template <template <typename> class Way, typename... Choices>
std::unique_ptr<ConvPlan> make_plan(const PlanRequest& request, Choices... choices) {
    if (computes_in_float(request.dtype)) return std::make_unique<BlockedPlan<float, Way>>(request, choices...);
    return std::make_unique<BlockedPlan<double, Way>>(request, choices...);
}

/// The same where the way suits the request; else null.
template <template <typename> class Way>
std::unique_ptr<ConvPlan> make_plan_if_suited(const PlanRequest& request) {
    const bool suits =
        computes_in_float(request.dtype) ? Way<float>::Blocking::suits(request) : Way<double>::Blocking::suits(request);
    return suits ? make_plan<Way>(request) : nullptr;
}

std::unique_ptr<ConvPlan> plan_channels(const PlanRequest& request) {
    auto each_for_itself = make_plan_if_suited<Channelwise>(request);
    if (each_for_itself && request.shape.in_channels == 1) {
        auto in_place = make_plan_if_suited<FromChannels>(request);
        return in_place ? std::move(in_place) : std::move(each_for_itself);
    }
    if (auto one_pixel = make_plan_if_suited<ToOnePixel>(request)) return one_pixel;
    auto together = make_plan<AcrossChannels>(request);
    const bool takes_less = each_for_itself && each_for_itself->cycles() < together->cycles();
    return takes_less ? std::move(each_for_itself) : std::move(together);
}

std::unique_ptr<ConvPlan> plan_direct(const PlanRequest& request) {
    // Phases of transposes count their padding from the last tap, and not from the first.
    auto in_place = request.shape.mirrored ? nullptr : make_plan_if_suited<FromImage>(request);
    return in_place ? std::move(in_place) : make_plan<Directly>(request);
}

}  // namespace

std::unique_ptr<ConvPlan> plan_all_phases(const PlanRequest& request) {
    return make_plan_if_suited<AcrossChannelsTransposed>(request);
}

std::unique_ptr<ConvPlan> plan_interleaved_phases(const PlanRequest& request) {
    return make_plan_if_suited<Interleaved>(request);
}

std::unique_ptr<ConvPlan> plan_transposed_images(const PlanRequest& request) {
    return make_plan_if_suited<FromImage>(request);
}

const ConvAlgorithm im2col_algorithm = {Algorithm::im2col, "im2col", [](const PlanRequest& request) {
                                            return make_plan<AcrossPixels>(request, Packing::all);
                                        }};
const ConvAlgorithm implicit_algorithm = {Algorithm::implicit, "implicit", [](const PlanRequest& request) {
                                              auto plan = make_plan<AcrossPixels>(request, Packing::crossing);
                                              return has_pairs(request) ? plan_pairs(request, std::move(plan))
                                                                        : std::move(plan);
                                          }};
const ConvAlgorithm channels_algorithm = {Algorithm::channels, "channels", plan_channels};
const ConvAlgorithm direct_algorithm = {Algorithm::direct, "direct", plan_direct};

}  // namespace flatconv
