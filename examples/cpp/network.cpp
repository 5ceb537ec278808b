// Everything of this example that has to do with flatconv: a layer becomes a problem, and a problem a call.
#include "network.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

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
            Layer layer;
            layer.problem.groups = std::stoll(file.metadata.at(prefix + "groups"));
            layer.problem.out_channels = weight.shape[0];
            layer.problem.in_channels = weight.shape[1] * layer.problem.groups;
            layer.problem.kernel = {1, weight.shape[2], weight.shape[3]};
            layer.problem.stride = {1, stride, stride};
            layer.problem.padding = flatconv::PaddingRule::same;
            layer.problem.padding_mode = flatconv::PaddingMode::reflect;
            layer.weight = weight.values;
            layer.bias = bias.values;
            layers_.push_back(std::move(layer));
        }
    } catch (const std::logic_error&) {  // at() or stoll()
        throw std::runtime_error("the network lacks a tensor, a stride or a number of groups");
    }
    if (layers_.empty()) throw std::runtime_error("the network has no layers");
    layers_.back().relu = false;
}

Image Network::run(const Layer& layer, const Image& x, const flatconv::Options& options) {
    flatconv::ConvProblem problem = layer.problem;
    problem.input = {1, x.height, x.width};
    if (x.channels != problem.in_channels) throw std::runtime_error("a layer takes another number of channels");
    flatconv::Extent output{};
    check(flatconv::output_size(problem, output));
    Image y;
    y.channels = int(problem.out_channels), y.height = int(output[1]), y.width = int(output[2]);
    y.planes.resize(std::size_t(problem.out_channels * output[1] * output[2]));
    check(flatconv::conv(problem, {x.planes.data(), layer.weight.data(), layer.bias.data()}, y.planes.data(), options));
    if (layer.relu) {
        for (float& value : y.planes) value = std::max(value, 0.0F);
    }
    return y;
}

Image Network::run(const Image& image, flatconv::Executor* executor) const {
    flatconv::Options options;
    options.executor = executor;
    Image x = image;
    for (const Layer& layer : layers_) x = run(layer, x, options);
    return x;
}
