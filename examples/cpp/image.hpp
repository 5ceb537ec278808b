// Photographs as arrays of channels, and the files that they come from and go to; used by main.cpp and network.cpp.
#ifndef EXAMPLES_IMAGE_HPP
#define EXAMPLES_IMAGE_HPP

#include <string>
#include <vector>

/// One plane after the other, as flatconv takes them; of a photograph red, green and blue from 0 to 1.
struct Image {
    int channels = 0;
    int height = 0;
    int width = 0;
    std::vector<float> planes;
};

/// Throws std::runtime_error, as does `write_image`.
Image read_image(const std::string& path);

/// Three channels: a PNG of 8 bits each, or if `path` ends in .pfm a portable float map.
void write_image(const Image& image, const std::string& path);

#endif
