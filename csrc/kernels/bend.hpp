// Curves on sums that are stored already; kernels.hpp brings it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_BEND_HPP
#define FLATCONV_KERNELS_BEND_HPP

#include "kernels/curves.hpp"

namespace flatconv {
namespace {

template <typename Isa>
void bend(const Bending<typename Isa::Scalar>& bending) {
    constexpr int lanes = Isa::lanes;
    visit_curve<Isa>(bending.curve, bending.slope, [&](const auto& curve) __attribute__((always_inline)) {
        for (int64_t row = 0; row < bending.rows; ++row) {
            typename Isa::Scalar* const y = bending.y + row * bending.y_stride;
            for (int64_t col = 0; col < bending.cols; col += lanes) {
                const int64_t left = bending.cols - col;
                const bool whole = left >= lanes;
                const auto sums = whole ? Isa::load(y + col) : Isa::load_first(y + col, int(left));
                const auto bent = curve(sums);
                if (whole) {
                    Isa::store(y + col, bent);
                } else {
                    Isa::store_first(y + col, bent, int(left));
                }
            }
        }
    });
}

/// The last step of an epilogue, after `rows` × `cols` sums were stored.
template <typename Isa>
FLATCONV_INLINE void bend_stored(const Epilogue<typename Isa::Scalar>* epilogue, typename Isa::Scalar* y,
                                 ptrdiff_t y_stride, int64_t rows, int64_t cols) {
    // Vectors of whole numbers have no curves.
    if constexpr (typename Isa::Scalar(0.5) > 0) {
        if (!epilogue || epilogue->curve == Curve::none) return;
        bend<Isa>({y, y_stride, rows, cols, epilogue->curve, epilogue->slope});
    }
}

}  // namespace
}  // namespace flatconv

#endif
