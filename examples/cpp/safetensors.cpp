// A safetensors file: the header's length in 8 bytes, the header in JSON, then the tensors' bytes, little-endian.
#include "safetensors.hpp"

#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace {

Tensor read_tensor(const nlohmann::json& entry, const std::string& bytes) {
    Tensor tensor;
    if (entry.at("dtype") != "F32") throw std::runtime_error("a tensor is not float32");
    entry.at("shape").get_to(tensor.shape);
    std::uint64_t count = 1;
    for (const std::int64_t size : tensor.shape) {
        if (size < 0 || (size > 0 && count > bytes.size() / std::uint64_t(size))) {
            throw std::runtime_error("a tensor's shape does not fit the file");
        }
        count *= std::uint64_t(size);
    }
    const auto begin = entry.at("data_offsets").at(0).get<std::uint64_t>();
    const auto end = entry.at("data_offsets").at(1).get<std::uint64_t>();
    if (begin > end || end > bytes.size() || end - begin != count * sizeof(float)) {
        throw std::runtime_error("a tensor's offsets do not fit its shape, or the file");
    }
    tensor.values.resize(count);
    if (count > 0) std::memcpy(tensor.values.data(), bytes.data() + begin, end - begin);
    return tensor;
}

SafeTensors parse(const std::string& content) {
    std::uint64_t header_bytes = 0;
    if (content.size() < sizeof(header_bytes)) throw std::runtime_error("too short");
    for (std::size_t i = sizeof(header_bytes); i-- > 0;) {
        header_bytes = header_bytes << 8 | static_cast<unsigned char>(content[i]);
    }
    if (header_bytes > content.size() - sizeof(header_bytes)) throw std::runtime_error("the header is longer than it");
    const nlohmann::json header = nlohmann::json::parse(content.substr(sizeof(header_bytes), header_bytes));
    const std::string bytes = content.substr(sizeof(header_bytes) + header_bytes);
    SafeTensors result;
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") {
            entry.get_to(result.metadata);
        } else {
            result.tensors.emplace(name, read_tensor(entry, bytes));
        }
    }
    return result;
}

}  // namespace

SafeTensors read_safetensors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + ": cannot be opened");
    const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    try {
        return parse(content);
    } catch (const std::exception& error) {  // nlohmann::json's too
        throw std::runtime_error(path + ": " + error.what());
    }
}
