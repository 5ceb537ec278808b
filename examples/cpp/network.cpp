// Everything of this example that has to do with flatconv: a layer becomes a problem, its weights are packed once, and
// each image is a call.
#include "network.hpp"

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

void check(const flatconv::Status& status) {
    if (!status) throw std::runtime_error(status.message);
}

}  // namespace

Network::Network(const SafeTensors& file) {
    try {
        for (std::size_t i = 0; file.tensors.count(std::to_string(i) + ".weight") != 0; ++i) {
            const std::string prefix = std::to_string(i) + ".";
            const Tensor& weight = file.tensors.at(prefix + "weight");
            const Tensor& bias = file.tensors.at(prefix + "bias");
            if (weight.shape.size() != 4 || bias.shape != std::vector{weight.shape[0]}) {
                throw std::runtime_error("layer " + std::to_string(i) + " is not a convolution of images");
            }
            const std::int64_t stride = std::stoll(file.metadata.at(prefix + "stride"));
            const bool is_last = file.tensors.count(std::to_string(i + 1) + ".weight") == 0;
            flatconv::ConvProblem problem;  // all but the sizes of the image
            problem.groups = std::stoll(file.metadata.at(prefix + "groups"));
            problem.out_channels = weight.shape[0];
            problem.in_channels = weight.shape[1] * problem.groups;
            problem.kernel = {1, weight.shape[2], weight.shape[3]};
            problem.stride = {1, stride, stride};
            problem.padding = flatconv::PaddingRule::same;
            problem.padding_mode = flatconv::PaddingMode::reflect;
            if (!is_last) problem.activation.kind = flatconv::Activation::relu;
            flatconv::PackedConv layer;
            check(flatconv::PackedConv::pack(problem, weight.values.data(), bias.values.data(), layer));
            layers_.push_back(std::move(layer));
        }
    } catch (const std::logic_error&) {  // at() or stoll()
        throw std::runtime_error("the network lacks a tensor, a stride or a number of groups");
    }
    if (layers_.empty()) throw std::runtime_error("the network has no layers");
}

Image Network::run(const flatconv::PackedConv& layer, const Image& x, const flatconv::Options& options) {
    const flatconv::ConvProblem problem = layer.problem(1, {1, x.height, x.width});
    if (x.channels != problem.in_channels) throw std::runtime_error("a layer takes another number of channels");
    flatconv::Extent output{};
    check(flatconv::output_size(problem, output));
    Image y;
    y.channels = int(problem.out_channels), y.height = int(output[1]), y.width = int(output[2]);
    y.planes.resize(std::size_t(problem.out_channels * output[1] * output[2]));
    check(layer.run(1, problem.input, x.planes.data(), y.planes.data(), {}, options));
    return y;
}

Image Network::run(const Image& image, flatconv::Executor* executor) const {
    flatconv::Options options;
    options.executor = executor;
    Image x = image;
    for (const flatconv::PackedConv& layer : layers_) x = run(layer, x, options);
    return x;
}
