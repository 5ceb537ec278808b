// The kernel for channels that are convolved each for itself, and whose kernels are a single row; called by
// image_kernel.hpp.
#ifndef FLATCONV_KERNELS_LINE_KERNEL_HPP
#define FLATCONV_KERNELS_LINE_KERNEL_HPP

#include "kernels/micro_kernel.hpp"

namespace flatconv {
namespace {

/// The lanes of a vector from `begin` on, up to `end`: what an instruction set without masks keeps of them.
struct LaneRange {
    int begin, end;
};

template <typename Isa>
FLATCONV_INLINE typename Isa::Lanes lanes_between(int64_t begin, int64_t end) {
    const auto lane = [](int64_t at) { return at < 0 ? 0 : at > Isa::lanes ? Isa::lanes : int(at); };
    return Isa::between(lane(begin), lane(end));
}

/// Zeros in all other lanes; what they would be read from need not exist.
template <typename Isa>
FLATCONV_INLINE typename Isa::Vector load_between(const typename Isa::Scalar* from, typename Isa::Lanes lanes) {
    if constexpr (Isa::masks_loads) {
        return Isa::load_masked(from, lanes);
    } else {
        if (lanes.end - lanes.begin == Isa::lanes) return Isa::load(from);
        typename Isa::Scalar lane[Isa::lanes] = {};
        for (int l = lanes.begin; l < lanes.end; ++l) lane[l] = from[l];
        return Isa::load(lane);
    }
}

/// Sums of a line, from column `col` on: whole vectors that meet the image alone; or one, of `count` lanes, that need
/// not.
template <typename Isa, int Vectors>
void convolve_columns_of(const ImageConvolution<typename Isa::Scalar>& line, int64_t col, int count) {
    using Vector = typename Isa::Vector;
    Vector sums[Vectors];
    unroll<Vectors>([&](auto v) { sums[v.value] = Isa::zero(); });
    int64_t at = line.first_col + col;
    for (int k = 0; k < line.size; ++k, at += line.tap_step) {
        const Vector weight = Isa::broadcast(line.weights + k);
        unroll<Vectors>([&](auto v) {
            const auto* const from = line.x + at + v.value * Isa::lanes;
            const Vector pixels =
                Vectors > 1 ? Isa::load(from) : load_between<Isa>(from, lanes_between<Isa>(-at, line.x_cols - at));
            sums[v.value] = Isa::fma(weight, pixels, sums[v.value]);
        });
    }
    finish_vectors<Isa>(sums, *line.epilogue);
    auto* const y = line.y + col;
    if (Vectors == 1 && count < Isa::lanes) return Isa::store_first(y, sums[0], count);
    unroll<Vectors>([&](auto v) { Isa::store(y + v.value * Isa::lanes, sums[v.value]); });
}

/// Each element of the kernel finds its pixels by a load of its own, at any distance: most of these cross lines of the
/// caches, and so no vector of sums is stored across two.
template <typename Isa>
void convolve_lines(const ImageConvolution<typename Isa::Scalar>& image) {
    constexpr int lanes = Isa::lanes, vectors = 4;
    const int64_t reach = (image.size - 1) * image.tap_step;
    // The first and the last columns may meet what lies beside the image.
    const int64_t first = -image.first_col - (reach < 0 ? reach : 0);
    const int64_t behind = image.x_cols - image.first_col - (reach > 0 ? reach : 0);
    const int64_t end = behind < image.cols ? behind : image.cols;
    ImageConvolution<typename Isa::Scalar> line = image;
    line.x += image.first_row * image.x_row_stride;
    for (int64_t row = 0; row < image.rows; ++row) {
        for (int64_t col = 0; col < image.cols;) {
            const auto before = int(reinterpret_cast<uintptr_t>(line.y + col) / sizeof(*line.y) % lanes);
            if (before == 0 && col >= first && col + vectors * lanes <= end) {
                convolve_columns_of<Isa, vectors>(line, col, lanes);
                col += vectors * lanes;
            } else {
                const int64_t left = image.cols - col;
                const int count = left < lanes - before ? int(left) : lanes - before;
                convolve_columns_of<Isa, 1>(line, col, count);
                col += count;
            }
        }
        line.x += image.x_row_stride;
        line.y += image.y_row_stride;
    }
}

}  // namespace
}  // namespace flatconv

#endif
