// A network of convolutions with a ReLU after each but the last; used by main.cpp.
#ifndef EXAMPLES_NETWORK_HPP
#define EXAMPLES_NETWORK_HPP

#include <flatconv/flatconv.hpp>
#include <vector>

#include "image.hpp"
#include "safetensors.hpp"

class Network {
  public:
    /// Tensors "0.weight", "0.bias", "1.weight" and so on; metadata "0.stride" and "0.groups". Throws
    /// std::runtime_error if they do not fit together.
    explicit Network(const SafeTensors& file);

    /// On the executor's threads, or the library's own if it is null. Throws std::runtime_error.
    Image run(const Image& image, flatconv::Executor* executor) const;

  private:
    static Image run(const flatconv::PackedConv& layer, const Image& x, const flatconv::Options& options);

    std::vector<flatconv::PackedConv> layers_;
};

#endif
