// Reads and writes images through stb, and float maps, which stb does not know.
#include "image.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <stdexcept>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

namespace {

/// channels × pixels to pixels × channels.
std::vector<float> interleaved(const Image& image) {
    const std::size_t channels = std::size_t(image.channels), pixels = image.planes.size() / channels;
    std::vector<float> values(image.planes.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i % pixels * channels + i / pixels] = image.planes[i];
    return values;
}

/// Rows of red, green and blue from the bottom up; the negative scale says little-endian.
bool write_pfm(const std::string& path, const Image& image, const std::vector<float>& values) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (!file || std::fprintf(file.get(), "PF\n%d %d\n-1.0\n", image.width, image.height) < 0) return false;
    const std::size_t row = std::size_t(image.width) * 3;
    for (std::size_t end = values.size(); end > 0; end -= row) {
        if (std::fwrite(&values[end - row], sizeof(float), row, file.get()) != row) return false;
    }
    return std::fflush(file.get()) == 0;
}

bool write_png(const std::string& path, const Image& image, const std::vector<float>& values) {
    std::vector<unsigned char> bytes(values.size());
    std::transform(values.begin(), values.end(), bytes.begin(),
                   [](float value) { return static_cast<unsigned char>(std::clamp(value, 0.0F, 1.0F) * 255 + 0.5F); });
    return stbi_write_png(path.c_str(), image.width, image.height, 3, bytes.data(), image.width * 3) != 0;
}

}  // namespace

Image read_image(const std::string& path) {
    Image image;
    image.channels = 3;
    int channels_of_file = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> bytes(
        stbi_load(path.c_str(), &image.width, &image.height, &channels_of_file, image.channels), stbi_image_free);
    if (!bytes) throw std::runtime_error(path + ": " + stbi_failure_reason());
    const std::size_t pixels = std::size_t(image.width) * std::size_t(image.height);
    image.planes.resize(pixels * 3);
    for (std::size_t i = 0; i < image.planes.size(); ++i) {
        image.planes[i] = float(bytes.get()[i % pixels * 3 + i / pixels]) / 255.0F;
    }
    return image;
}

void write_image(const Image& image, const std::string& path) {
    if (image.channels != 3) throw std::runtime_error(path + ": the image must have 3 channels");
    const bool is_pfm = path.size() >= 4 && path.compare(path.size() - 4, 4, ".pfm") == 0;
    const std::vector<float> values = interleaved(image);
    if (!(is_pfm ? write_pfm(path, image, values) : write_png(path, image, values))) {
        throw std::runtime_error(path + ": cannot be written");
    }
}
