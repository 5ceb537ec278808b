// Reads safetensors files, the format in which Python hands over weights; used by main.cpp.
#ifndef EXAMPLES_SAFETENSORS_HPP
#define EXAMPLES_SAFETENSORS_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct Tensor {
    std::vector<std::int64_t> shape;
    std::vector<float> values;
};

struct SafeTensors {
    std::map<std::string, Tensor> tensors;
    std::map<std::string, std::string> metadata;
};

/// Reads a file whose tensors are all float32. Throws std::runtime_error for anything else.
SafeTensors read_safetensors(const std::string& path);

#endif
