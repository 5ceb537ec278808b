// The kernels that bring operands into the order of the micro-kernel, and results into the order of y.
#ifndef FLATCONV_KERNELS_PACKING_HPP
#define FLATCONV_KERNELS_PACKING_HPP

#include "kernels/micro_kernel.hpp"

namespace flatconv {
namespace {

/// What becomes one row of a packed vector: a depth of the band as it is, found by one offset.
struct EachDepth {
    static constexpr int depths = 1;
    template <typename Isa>
    using Pixel = typename Isa::Scalar;

    template <typename Isa>
    static FLATCONV_INLINE typename Isa::Vector load(const Pixel<Isa>* pixels, const ptrdiff_t* offsets) {
        return Isa::load(pixels + offsets[0]);
    }
};

/// Or two of them, halves joined into words; the last one alone, where their number is odd.
struct LastDepth {
    template <typename Isa>
    static FLATCONV_INLINE typename Isa::Vector load(const uint16_t* pixels, const ptrdiff_t* offsets) {
        return Isa::join(Isa::load_halves(pixels + offsets[0]), Isa::no_halves());
    }
};
struct JoinedDepths {
    static constexpr int depths = 2;
    using Last = LastDepth;
    template <typename Isa>
    using Pixel = uint16_t;

    template <typename Isa>
    static FLATCONV_INLINE typename Isa::Vector load(const uint16_t* pixels, const ptrdiff_t* offsets) {
        return Isa::join(Isa::load_halves(pixels + offsets[0]), Isa::load_halves(pixels + offsets[1]));
    }
};

/// All rows of a packed vector, each by `pack_row(row, kind of row, offsets)`.
template <typename Isa, class Row, typename PackRow>
FLATCONV_INLINE void pack_rows(const VectorPacking<typename Isa::Scalar>& packing, const PackRow& pack_row) {
    typename Isa::Scalar* row = packing.packed;
    const ptrdiff_t* offsets = packing.offsets;
    const ptrdiff_t* const end = offsets + packing.depth;
    for (; end - offsets >= Row::depths; offsets += Row::depths, row += Isa::lanes) pack_row(row, Row{}, offsets);
    if constexpr (Row::depths > 1) {
        if (offsets != end) pack_row(row, typename Row::Last{}, offsets);
    }
}

/// pack_vector with the number of copies known: their places stay in registers.
template <typename Isa, class Row, int Copies>
void pack_copies(const VectorPacking<typename Isa::Scalar>& packing) {
    using Pixel = typename Row::template Pixel<Isa>;
    const Pixel* source[Copies];
    ptrdiff_t target[Copies];
    unroll<Copies>([&](auto c) {
        source[c.value] = reinterpret_cast<const Pixel*>(packing.band) + packing.copies[c.value].source;
        target[c.value] = packing.copies[c.value].target;
    });
    pack_rows<Isa, Row>(packing, [&](auto* row, auto kind, const ptrdiff_t* offsets) __attribute__((always_inline)) {
        unroll<Copies>([&](auto c) {
            Isa::store(row + target[c.value], decltype(kind)::template load<Isa>(source[c.value], offsets));
        });
    });
}

template <typename Isa, class Row = EachDepth>
void pack_vector(const VectorPacking<typename Isa::Scalar>& packing) {
    switch (packing.copy_count) {
        case 1: return pack_copies<Isa, Row, 1>(packing);
        case 2: return pack_copies<Isa, Row, 2>(packing);
        case 3: return pack_copies<Isa, Row, 3>(packing);
        case 4: return pack_copies<Isa, Row, 4>(packing);
        default: break;
    }
    const auto* const band = reinterpret_cast<const typename Row::template Pixel<Isa>*>(packing.band);
    pack_rows<Isa, Row>(packing, [&](auto* row, auto kind, const ptrdiff_t* offsets) {
        for (int c = 0; c < packing.copy_count; ++c) {
            Isa::store(row + packing.copies[c].target,
                       decltype(kind)::template load<Isa>(band + packing.copies[c].source, offsets));
        }
    });
}

/// Perfect shuffles of all elements of some vectors, log2(Rounds) of them: each rotates the bits of an element's place,
/// (vector, lane), by one. After log2(lanes) rounds, lanes × Count elements that lay row by row are transposed.
template <typename Isa, int Rounds, int Count>
FLATCONV_INLINE void shuffle(typename Isa::Vector (&v)[Count]) {
    if constexpr (Rounds > 1) {
        constexpr int half = Count / 2;
        typename Isa::Vector next[Count];
        unroll<half>([&](auto i) {
            next[2 * i.value] = Isa::zip_low(v[i.value], v[i.value + half]);
            next[2 * i.value + 1] = Isa::zip_high(v[i.value], v[i.value + half]);
        });
        unroll<Count>([&](auto i) { v[i.value] = next[i.value]; });
        shuffle<Isa, Rounds / 2>(v);
    }
}

/// Whether a vector is a whole line of the caches: then it may be written without them.
template <typename Isa>
constexpr bool writes_lines = Isa::lanes * sizeof(typename Isa::Scalar) == 64;

/// Transposes as many vectors as they have lanes: one bit after the other of an element's lane changes places with that
/// of its vector. Bits within a block of lanes first, from the highest one down, by zips of blocks; then those of the
/// block, from the lowest one up. CPUs do both in less time than zips of whole vectors.
template <typename Isa, int Distance = Isa::block_lanes / 2>
FLATCONV_INLINE void transpose_square(typename Isa::Vector (&v)[Isa::lanes]) {
    constexpr bool in_blocks = Distance < Isa::block_lanes;
    unroll<Isa::lanes>([&](auto i) {
        if constexpr ((i.value & Distance) == 0) {
            const typename Isa::Vector a = v[i.value], b = v[i.value + Distance];
            if constexpr (Isa::block_lanes == Isa::lanes) {
                v[i.value] = Isa::zip_low(a, b);
                v[i.value + Distance] = Isa::zip_high(a, b);
            } else if constexpr (in_blocks) {
                v[i.value] = Isa::zip_low_in_blocks(a, b);
                v[i.value + Distance] = Isa::zip_high_in_blocks(a, b);
            } else {
                v[i.value] = Isa::even_blocks(a, b);
                v[i.value + Distance] = Isa::odd_blocks(a, b);
            }
        }
    });
    constexpr int next = Distance == 1 ? Isa::block_lanes : in_blocks ? Distance / 2 : Distance * 2;
    if constexpr (next < Isa::lanes) transpose_square<Isa, next>(v);
}

template <typename Isa, bool Whole>
FLATCONV_INLINE void transpose_block(const Transposition<typename Isa::Scalar>& t, int64_t row, int64_t col) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    const int rows = Whole ? lanes : int(t.rows - row < lanes ? t.rows - row : lanes);
    const int cols = Whole ? lanes : int(t.cols - col < lanes ? t.cols - col : lanes);
    typename Isa::Vector v[lanes];
    const Scalar* from = t.from + row * t.from_stride + col;
    unroll<lanes>([&](auto r) {
        if (r.value >= rows) {
            v[r.value] = Isa::zero();
        } else {
            const Scalar* at = from + r.value * t.from_stride;
            v[r.value] = cols == lanes ? Isa::load(at) : Isa::load_first(at, cols);
        }
    });
    transpose_square<Isa>(v);
    const auto each = [&](const auto& act) __attribute__((always_inline)) {
        unroll<lanes>([&](auto c) {
            if (Whole || c.value < cols) act(v[c.value], ptrdiff_t(c.value));
        });
    };
    if (const Epilogue<Scalar>* const epilogue = t.epilogue) {
        // A pass over the registers for each thing to do, as in store_sums.
        const Scalar* const bias = epilogue->bias + col;
        each([&](auto& sum, ptrdiff_t c) { sum = Isa::add(sum, Isa::broadcast(bias + c)); });
        if (epilogue->residual) {
            const Scalar* residual = epilogue->residual + col * epilogue->residual_stride + row;
            each([&](auto& sum, ptrdiff_t) {
                sum = Isa::add(sum, rows == lanes ? Isa::load(residual) : Isa::load_first(residual, rows));
                residual += epilogue->residual_stride;
            });
        }
        if (epilogue->clamps) {
            const auto low = Isa::broadcast(&epilogue->low), high = Isa::broadcast(&epilogue->high);
            each([&](auto& sum, ptrdiff_t) { sum = Isa::min(high, Isa::max(low, sum)); });
        }
    }
    Scalar* to = t.to + col * t.to_stride + row;
    const auto store_by = [&](const auto& store) __attribute__((always_inline)) {
        each([&](const auto& out, ptrdiff_t) {
            store(to, out);
            to += t.to_stride;
        });
    };
    if constexpr (Whole && writes_lines<Isa>) {
        if (t.passes_caches) return store_by([](Scalar* at, const auto& out) { Isa::stream(at, out); });
    }
    if (rows == lanes) {
        store_by([](Scalar* at, const auto& out) { Isa::store(at, out); });
    } else {
        store_by([&](Scalar* at, const auto& out) { Isa::store_first(at, out, rows); });
    }
}

/// Few last rows, which are not worth a block: one by one.
template <typename Isa>
FLATCONV_INLINE void transpose_rows(const Transposition<typename Isa::Scalar>& t, int64_t row, int64_t col) {
    using Scalar = typename Isa::Scalar;
    for (; row < t.rows; ++row) {
        typename Isa::Vector out = Isa::load(t.from + row * t.from_stride + col);
        if (t.epilogue) out = finish<Isa>(out, Isa::load(t.epilogue->bias + col), nullptr, Isa::lanes, *t.epilogue);
        Scalar lane[Isa::lanes];
        Isa::store(lane, out);
        for (int l = 0; l < Isa::lanes; ++l) t.to[(col + l) * t.to_stride + row] = lane[l];
    }
}

/// Transposes a matrix of few columns whose rows follow each other: vectors that hold several rows each are fewer.
/// Returns the number of rows that it took.
template <typename Isa, int Cols>
int64_t transpose_narrow(const Transposition<typename Isa::Scalar>& t) {
    int64_t row = 0;
    constexpr bool is_power_of_two = (Cols & (Cols - 1)) == 0;
    if constexpr (Cols < Isa::lanes && is_power_of_two) {
        for (; row + Isa::lanes <= t.rows; row += Isa::lanes) {
            typename Isa::Vector v[Cols];
            unroll<Cols>([&](auto c) { v[c.value] = Isa::load(t.from + row * Cols + c.value * Isa::lanes); });
            shuffle<Isa, Isa::lanes>(v);
            unroll<Cols>([&](auto c) { Isa::store(t.to + c.value * t.to_stride + row, v[c.value]); });
        }
    } else if constexpr (Cols < Isa::lanes) {
        // The compiler finds the permutations for three; and of more, one element after the other takes less time than
        // blocks with masks.
        for (; row < t.rows; ++row) {
            for (int c = 0; c < Cols; ++c) t.to[c * t.to_stride + row] = t.from[row * Cols + c];
        }
    }
    return row;
}

template <typename Isa>
void transpose(const Transposition<typename Isa::Scalar>& t) {
    if (t.from_stride == t.cols && t.cols < Isa::lanes && !t.epilogue) {
        int64_t row = 0;
        switch (t.cols) {
            case 2: row = transpose_narrow<Isa, 2>(t); break;
            case 3: row = transpose_narrow<Isa, 3>(t); break;
            case 4: row = transpose_narrow<Isa, 4>(t); break;
            case 5: row = transpose_narrow<Isa, 5>(t); break;
            case 6: row = transpose_narrow<Isa, 6>(t); break;
            case 7: row = transpose_narrow<Isa, 7>(t); break;
            case 8: row = transpose_narrow<Isa, 8>(t); break;
            case 9: row = transpose_narrow<Isa, 9>(t); break;
            default: break;
        }
        for (; row < t.rows; row += Isa::lanes) transpose_block<Isa, false>(t, row, 0);
        return;
    }
    const bool residual = t.epilogue && t.epilogue->residual;
    for (int64_t col = 0; col < t.cols; col += Isa::lanes) {
        int64_t row = 0;
        if (col + Isa::lanes <= t.cols) {
            for (; row + Isa::lanes <= t.rows; row += Isa::lanes) transpose_block<Isa, true>(t, row, col);
            if (t.rows - row <= 2 && !residual) {
                transpose_rows<Isa>(t, row, col);
                row = t.rows;
            }
        }
        for (; row < t.rows; row += Isa::lanes) transpose_block<Isa, false>(t, row, col);
        const int64_t done = t.cols - col < Isa::lanes ? t.cols - col : Isa::lanes;
        bend_stored<Isa>(t.epilogue, t.to + col * t.to_stride, t.to_stride, done, t.rows);
    }
}

template <typename Isa>
void finish_rows(const RowFinish<typename Isa::Scalar>& f) {
    using Scalar = typename Isa::Scalar;
    constexpr int lanes = Isa::lanes;
    const Epilogue<Scalar>& epilogue = *f.epilogue;
    for (int64_t row = 0; row < f.rows; ++row) {
        const Scalar* from = f.from + row * f.from_stride;
        const Scalar* residual = epilogue.residual ? epilogue.residual + row * epilogue.residual_stride : nullptr;
        Scalar* to = f.to + row * f.to_stride;
        int64_t col = 0;
        for (; col + lanes <= f.cols; col += lanes) {
            const Scalar* added = residual ? residual + col : nullptr;
            Isa::store(to + col,
                       finish<Isa>(Isa::load(from + col), Isa::load(epilogue.bias + col), added, lanes, epilogue));
        }
        if (col == f.cols) continue;
        const int rest = int(f.cols - col);
        const Scalar* added = residual ? residual + col : nullptr;
        Isa::store_first(to + col,
                         finish<Isa>(Isa::load_first(from + col, rest), Isa::load_first(epilogue.bias + col, rest),
                                     added, rest, epilogue),
                         rest);
    }
    bend_stored<Isa>(f.epilogue, f.to, f.to_stride, f.rows, f.cols);
}

template <typename Isa>
FLATCONV_INLINE void copy_row(const typename Isa::Scalar* from, int64_t cols, typename Isa::Scalar* to,
                              ptrdiff_t next) {
    int64_t c = 0;
    for (; c + Isa::lanes <= cols; c += Isa::lanes) {
        __builtin_prefetch(from + c + next);
        Isa::store(to + c, Isa::load(from + c));
    }
    __builtin_prefetch(from + c + next);
    if (c < cols) Isa::store_first(to + c, Isa::load_first(from + c, int(cols - c)), int(cols - c));
}

/// Of the first `count` elements at `from`, one of every `Step`: whole vectors of them, or a last one that ends with an
/// element that is taken.
template <typename Isa, int Step>
FLATCONV_INLINE typename Isa::Vector load_every(const typename Isa::Scalar* from, int64_t count) {
    if constexpr (Step > 1) {
        constexpr int half = Step / 2 * Isa::lanes;
        return Isa::even(load_every<Isa, Step / 2>(from, count), load_every<Isa, Step / 2>(from + half, count - half));
    } else {
        if (count >= Isa::lanes) return Isa::load(from);
        return count > 0 ? Isa::load_first(from, int(count)) : Isa::zero();
    }
}

/// One element of every `Step` of a row.
template <typename Isa, int Step>
FLATCONV_INLINE void copy_every(const typename Isa::Scalar* from, int64_t cols, typename Isa::Scalar* to,
                                ptrdiff_t next) {
    constexpr int64_t reach = Step * Isa::lanes;
    int64_t c = 0;
    // The elements behind the last one that is taken need not exist.
    for (; c + Isa::lanes < cols; c += Isa::lanes, from += reach) {
        unroll<Step>([&](auto v) { __builtin_prefetch(from + v.value * Isa::lanes + next); });
        Isa::store(to + c, load_every<Isa, Step>(from, reach));
    }
    if (c == cols) return;
    unroll<Step>([&](auto v) { __builtin_prefetch(from + v.value * Isa::lanes + next); });
    const typename Isa::Vector last = load_every<Isa, Step>(from, (cols - c - 1) * Step + 1);
    if (cols - c == Isa::lanes) return Isa::store(to + c, last);
    Isa::store_first(to + c, last, int(cols - c));
}

/// The whole vectors of a row that goes from its end to its beginning; returns how many elements they are.
template <typename Isa>
FLATCONV_INLINE int64_t copy_turned(const typename Isa::Scalar* from, int64_t cols, typename Isa::Scalar* to) {
    constexpr int lanes = Isa::lanes;
    int32_t order[lanes];
    for (int l = 0; l < lanes; ++l) order[l] = lanes - 1 - l;
    const auto places = Isa::load_places(order);
    int64_t c = 0;
    for (; c + lanes <= cols; c += lanes) Isa::store(to + c, Isa::pick(Isa::load(from - c - (lanes - 1)), places));
    return c;
}

template <typename Isa>
void copy_block(const BlockCopy<typename Isa::Scalar>& block) {
    if (block.from_step == 1 && block.cols > 0 && block.cols < Isa::lanes) {
        // Short rows, of which nothing is asked again for each.
        const typename Isa::Scalar* from = block.from;
        typename Isa::Scalar* to = block.to;
        for (int64_t r = block.rows; r > 0; --r, from += block.from_stride, to += block.to_stride) {
            __builtin_prefetch(from + block.next);
            Isa::store_first(to, Isa::load_first(from, int(block.cols)), int(block.cols));
        }
        return;
    }
    for (int64_t r = 0; r < block.rows; ++r) {
        const typename Isa::Scalar* from = block.from + r * block.from_stride;
        typename Isa::Scalar* to = block.to + r * block.to_stride;
        switch (block.from_step) {
            case 1: copy_row<Isa>(from, block.cols, to, block.next); break;
            case 2: copy_every<Isa, 2>(from, block.cols, to, block.next); break;
            case 4: copy_every<Isa, 4>(from, block.cols, to, block.next); break;
            default:
                int64_t c = 0;
                if constexpr (Isa::picks) {
                    if (block.from_step == -1) c = copy_turned<Isa>(from, block.cols, to);
                }
                for (; c < block.cols; ++c) to[c] = from[c * block.from_step];
        }
    }
}

}  // namespace
}  // namespace flatconv

#endif
