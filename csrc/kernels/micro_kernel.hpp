// The kernels, written once: each kernels_<isa>.cpp includes this file and compiles it for its instruction set.
//
// `Isa` names the machine's vectors and the tile that fills its registers:
//
//     using Scalar, Vector;  lanes, tile_rows, tile_vectors, chains
//     zero(), broadcast(const Scalar*), load(const Scalar*), store(Scalar*, Vector), add(a, b), fma(a, b, c)
//     load_first(const Scalar*, n), store_first(Scalar*, Vector, n)     the first n lanes, 0 < n < lanes
//
// Everything is in an anonymous namespace and no library header is included: a function that two translation units
// share would be merged by the linker, and might bring wide instructions to a CPU that has none.
#ifndef FLATCONV_KERNELS_MICRO_KERNEL_HPP
#define FLATCONV_KERNELS_MICRO_KERNEL_HPP

#include "kernels/kernel_set.hpp"

#define FLATCONV_INLINE inline __attribute__((always_inline))

namespace flatconv {
namespace {

template <int N>
struct Constant {
    static constexpr int value = N;
};

/// body(Constant<0>{}), …, body(Constant<N - 1>{}): unrolled in the source, so that arrays which are indexed by the
/// constants live in registers at every optimisation level and under every compiler.
template <int N, typename Body>
FLATCONV_INLINE void unroll(const Body& body) {
    if constexpr (N > 0) {
        unroll<N - 1>(body);
        body(Constant<N - 1>{});
    }
}

/// One tile of Rows × (Vectors · lanes).
template <typename Isa, int Rows, int Vectors>
void multiply_tile(const Tile<typename Isa::Scalar>& tile) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;

    Vector acc[Rows][Vectors];
    unroll<Rows>([&](auto r) { unroll<Vectors>([&](auto v) { acc[r.value][v.value] = Isa::zero(); }); });

    // Three rows to a pointer: base, base + stride, base + 2 · stride are one addressing mode each, and a third of the
    // pointers leaves the loop enough registers to keep all of them. The empty asm keeps the compiler from undoing it.
    constexpr int pointers = (Rows + 2) / 3;
    const char* weights[pointers];
    const ptrdiff_t stride = tile.weights_stride * ptrdiff_t(sizeof(Scalar));
    unroll<pointers>([&](auto p) {
        weights[p.value] = reinterpret_cast<const char*>(tile.weights) + 3 * p.value * stride;
        asm("" : "+r"(weights[p.value]));
    });
    const Scalar* base[Vectors];
    const ptrdiff_t* offsets[Vectors];
    unroll<Vectors>([&](auto v) {
        base[v.value] = tile.regions[v.value].base;
        offsets[v.value] = tile.regions[v.value].offsets;
    });
    const int64_t depth = tile.depth;
    for (int64_t d = 0; d < depth; ++d) {
        Vector region[Vectors];
        unroll<Vectors>([&](auto v) { region[v.value] = Isa::load(base[v.value] + offsets[v.value][d]); });
        unroll<Rows>([&](auto r) {
            const char* row = weights[r.value / 3] + (r.value % 3) * stride;
            const Vector weight = Isa::broadcast(reinterpret_cast<const Scalar*>(row));
            unroll<Vectors>(
                [&](auto v) { acc[r.value][v.value] = Isa::fma(weight, region[v.value], acc[r.value][v.value]); });
        });
        unroll<pointers>([&](auto p) {
            weights[p.value] += sizeof(Scalar);
            asm("" : "+r"(weights[p.value]));
        });
    }

    const int last = tile.cols - (Vectors - 1) * lanes;  // columns of the last vector
    unroll<Rows>([&](auto r) {
        Scalar* y = tile.y + r.value * tile.y_stride;
        unroll<Vectors>([&](auto v) {
            Scalar* at = y + v.value * lanes;
            const bool whole = v.value < Vectors - 1 || last == lanes;
            Vector sum = acc[r.value][v.value];
            if (tile.accumulate) sum = Isa::add(whole ? Isa::load(at) : Isa::load_first(at, last), sum);
            if (tile.bias) sum = Isa::add(sum, Isa::broadcast(tile.bias + r.value));
            if (whole) {
                Isa::store(at, sum);
            } else {
                Isa::store_first(at, sum, last);
            }
        });
    });
}

template <int... I>
struct Sequence {};
template <int N, int... I>
struct MakeSequence : MakeSequence<N - 1, N - 1, I...> {};
template <int... I>
struct MakeSequence<0, I...> {
    using type = Sequence<I...>;
};

/// multiply_tile for every number of rows and vectors, rows first.
template <typename Isa>
struct TileTable {
    using Function = void (*)(const Tile<typename Isa::Scalar>&);
    static constexpr int vectors = Isa::tile_vectors;

    Function functions[Isa::tile_rows * Isa::tile_vectors];

    template <int... I>
    static constexpr TileTable make(Sequence<I...>) {
        return {{multiply_tile<Isa, I / vectors + 1, I % vectors + 1>...}};
    }
};

template <typename Isa>
void multiply(const Tile<typename Isa::Scalar>& tile) {
    using Table = TileTable<Isa>;
    static constexpr Table table = Table::make(typename MakeSequence<Isa::tile_rows * Isa::tile_vectors>::type{});
    const int vectors = (tile.cols + Isa::lanes - 1) / Isa::lanes;
    table.functions[(tile.rows - 1) * Isa::tile_vectors + vectors - 1](tile);
}

/// pack_vector with the number of copies known: their places stay in registers.
template <typename Isa, int Copies>
void pack_copies(const VectorPacking<typename Isa::Scalar>& packing) {
    ptrdiff_t source[Copies], target[Copies];
    unroll<Copies>([&](auto c) {
        source[c.value] = packing.copies[c.value].source;
        target[c.value] = packing.copies[c.value].target;
    });
    typename Isa::Scalar* row = packing.packed;
    for (int64_t d = 0; d < packing.depth; ++d, row += Isa::lanes) {
        const typename Isa::Scalar* from = packing.band + packing.offsets[d];
        unroll<Copies>([&](auto c) { Isa::store(row + target[c.value], Isa::load(from + source[c.value])); });
    }
}

template <typename Isa>
void pack_vector(const VectorPacking<typename Isa::Scalar>& packing) {
    switch (packing.copy_count) {
        case 1: return pack_copies<Isa, 1>(packing);
        case 2: return pack_copies<Isa, 2>(packing);
        case 3: return pack_copies<Isa, 3>(packing);
        case 4: return pack_copies<Isa, 4>(packing);
        default: break;
    }
    typename Isa::Scalar* row = packing.packed;
    for (int64_t d = 0; d < packing.depth; ++d, row += Isa::lanes) {
        const typename Isa::Scalar* from = packing.band + packing.offsets[d];
        for (int c = 0; c < packing.copy_count; ++c) {
            Isa::store(row + packing.copies[c].target, Isa::load(from + packing.copies[c].source));
        }
    }
}

template <typename Isa>
typename Isa::Scalar multiply_add_chains(int64_t steps) {
    using Scalar = typename Isa::Scalar;
    // Every lane of every chain starts from a number of its own: equal chains would be computed once.
    Scalar start[Isa::chains * Isa::lanes];
    for (int i = 0; i < Isa::chains * Isa::lanes; ++i) start[i] = Scalar(i);
    const Scalar half = Scalar(0.5);
    const typename Isa::Vector factor = Isa::broadcast(&half);
    typename Isa::Vector acc[Isa::chains];
    unroll<Isa::chains>([&](auto c) { acc[c.value] = Isa::load(start + c.value * Isa::lanes); });
    for (int64_t s = 0; s < steps; ++s) {
        unroll<Isa::chains>([&](auto c) { acc[c.value] = Isa::fma(acc[c.value], factor, factor); });
    }
    unroll<Isa::chains - 1>([&](auto c) { acc[0] = Isa::add(acc[0], acc[c.value + 1]); });
    Scalar sum[Isa::lanes];
    Isa::store(sum, acc[0]);
    return sum[0];
}

template <typename Isa>
constexpr Kernels<typename Isa::Scalar> make_kernels() {
    return {Isa::tile_rows,   Isa::lanes * Isa::tile_vectors, Isa::lanes, multiply<Isa>,
            pack_vector<Isa>, multiply_add_chains<Isa>,       Isa::chains};
}

}  // namespace
}  // namespace flatconv

#endif
