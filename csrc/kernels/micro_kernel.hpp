// The micro-kernel, written once; kernels.hpp brings it into every kernels_<isa>.cpp.
#ifndef FLATCONV_KERNELS_MICRO_KERNEL_HPP
#define FLATCONV_KERNELS_MICRO_KERNEL_HPP

#include "kernels/bend.hpp"
#include "kernels/kernel_set.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// A sum that is finished up to the curve: see Epilogue. `bias` is a vector, of one channel or of many.
template <typename Isa>
FLATCONV_INLINE typename Isa::Vector finish(typename Isa::Vector sum, typename Isa::Vector bias,
                                            const typename Isa::Scalar* residual, int count,
                                            const Epilogue<typename Isa::Scalar>& epilogue) {
    sum = Isa::add(sum, bias);
    if (residual) sum = Isa::add(sum, count == Isa::lanes ? Isa::load(residual) : Isa::load_first(residual, count));
    if (epilogue.clamps) {
        sum = Isa::max(Isa::broadcast(&epilogue.low), sum);
        sum = Isa::min(Isa::broadcast(&epilogue.high), sum);
    }
    return sum;
}

/// Sums up to the residual and the curve, if there are such. The bias is read anew each time: all registers are taken.
template <typename Isa, int Count>
FLATCONV_INLINE void finish_vectors(typename Isa::Vector (&sums)[Count],
                                    const Epilogue<typename Isa::Scalar>& epilogue) {
    using Vector = typename Isa::Vector;
    const Vector bias = Isa::broadcast(epilogue.bias);
    unroll<Count>([&](auto v) { sums[v.value] = Isa::add(sums[v.value], bias); });
    // They compete with the multiply-adds for the same ports, even if the bounds are infinite.
    if (!epilogue.clamps || epilogue.residual) return;
    const Vector low = Isa::broadcast(&epilogue.low), high = Isa::broadcast(&epilogue.high);
    unroll<Count>([&](auto v) { sums[v.value] = Isa::min(high, Isa::max(low, sums[v.value])); });
}

/// Where the sums of a tile meet its epilogue.
enum class Finish { never, in_registers, in_memory };

/// The sums of a tile, of which the last vector of each row has `last` columns, on their way to y: `y(r)` is where row
/// r begins. RowsOfChannel rows have one bias; in the residual they are `residual_row_stride` apart.
template <typename Isa, bool Finishes, int RowsOfChannel = 1, int Rows, int Vectors, typename Y>
FLATCONV_INLINE void store_sums(typename Isa::Vector (&sums)[Rows][Vectors], int last, bool accumulate,
                                const Epilogue<typename Isa::Scalar>* epilogue, const Y& y,
                                ptrdiff_t residual_row_stride = 0) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;
    const auto load = [&](const Scalar* from, auto v) {
        return v.value < Vectors - 1 || last == lanes ? Isa::load(from + v.value * lanes)
                                                      : Isa::load_first(from + v.value * lanes, last);
    };
    const auto each = [&](const auto& act) {
        unroll<Rows>([&](auto r) { unroll<Vectors>([&](auto v) { act(sums[r.value][v.value], r, v); }); });
    };
    if constexpr (Finishes) {
        // A pass over the registers for each thing to do, so that what is asked is asked once, and not of every vector.
        if (accumulate) each([&](Vector& sum, auto r, auto v) { sum = Isa::add(load(y(r), v), sum); });
        if (epilogue) {
            each([&](Vector& sum, auto r, auto) {
                sum = Isa::add(sum, Isa::broadcast(epilogue->bias + r.value / RowsOfChannel));
            });
            if (const Scalar* const residual = epilogue->residual) {
                each([&](Vector& sum, auto r, auto v) {
                    const Scalar* const row = residual + r.value / RowsOfChannel * epilogue->residual_stride +
                                              r.value % RowsOfChannel * residual_row_stride;
                    sum = Isa::add(sum, load(row, v));
                });
            }
            if (epilogue->clamps) {
                const Vector low = Isa::broadcast(&epilogue->low), high = Isa::broadcast(&epilogue->high);
                each([&](Vector& sum, auto, auto) { sum = Isa::min(high, Isa::max(low, sum)); });
            }
        }
    }
    each([&](Vector sum, auto r, auto v) {
        Scalar* const to = y(r) + v.value * lanes;
        if (!Finishes && accumulate) sum = Isa::add(load(y(r), v), sum);
        if (v.value < Vectors - 1 || last == lanes) {
            Isa::store(to, sum);
        } else {
            Isa::store_first(to, sum, last);
        }
    });
}

/// Vectors of the right operand that lie anywhere, each with a base and a table of its own.
template <typename Isa, int Vectors>
struct ScatteredVectors {
    using Scalar = typename Isa::Scalar;
    static constexpr int most_rows = Vectors <= Isa::tile_vectors ? Isa::tile_rows : 0;
    static constexpr bool rows_are_consecutive = true, whole = false;
    static constexpr Finish finish = Scalar(0.5) > 0 ? Finish::in_registers : Finish::never;  // never whole numbers
    using Sums = Isa;                                                                         // what finishes them
    const Scalar* base[Vectors];
    const ptrdiff_t* offsets[Vectors];

    FLATCONV_INLINE ScatteredVectors(const VectorOperand<Scalar>* right, int64_t depth) {
        unroll<Vectors>([&](auto v) {
            base[v.value] = right[v.value].base;
            offsets[v.value] = right[v.value].offsets + depth;
        });
    }
    template <int V>
    FLATCONV_INLINE const Scalar* at(int64_t d) const {
        return base[V] + offsets[V][d];
    }
};

/// The same of words, whose sums are numbers; to be finished in little code instead of little time.
template <typename Isa, int Vectors>
struct WordVectors : ScatteredVectors<Isa, Vectors> {
    using ScatteredVectors<Isa, Vectors>::ScatteredVectors;
    static constexpr Finish finish = Finish::in_memory;
    using Sums = typename Isa::Sums;
};

/// Vectors that are neighbours.
template <typename Isa, int Vectors>
struct PanelVectors {
    using Scalar = typename Isa::Scalar;
    static constexpr int most_rows = Vectors <= Isa::panel_vectors ? Isa::panel_rows[Vectors - 1] : 0;
    static constexpr bool rows_are_consecutive = false, whole = true, fetches_pieces = false;
    static constexpr Finish finish = Finish::never;
    const Scalar* base;
    const ptrdiff_t* offsets;

    FLATCONV_INLINE PanelVectors(const VectorOperand<Scalar>* right, int64_t depth)
        : base(right->base), offsets(right->offsets + depth) {}
    template <int V>
    FLATCONV_INLINE const Scalar* at(int64_t d) const {
        return base + offsets[d] + V * Isa::lanes;
    }
};

/// The same while something else comes into a cache, in tiles of as many vectors as there may be.
template <typename Isa, int Vectors>
struct FetchingPanelVectors : PanelVectors<Isa, Vectors> {
    using PanelVectors<Isa, Vectors>::PanelVectors;
    static constexpr int most_rows = Vectors == Isa::panel_vectors ? Isa::panel_rows[Vectors - 1] : 0;
    static constexpr bool fetches_pieces = true;
};

/// One tile of Rows × (Vectors · lanes).
template <typename Isa, template <typename, int> class Right, int Rows, int Vectors>
void multiply_tile(const Tile<typename Isa::Scalar>& tile) {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    constexpr int lanes = Isa::lanes;

    Vector acc[Rows][Vectors];
    unroll<Rows>([&](auto r) { unroll<Vectors>([&](auto v) { acc[r.value][v.value] = Isa::zero(); }); });

    // A few pointers serve all rows: at + stride, at + 2 · stride, … are one addressing mode each. The empty asm keeps
    // the compiler from giving every row an address of its own, for which there are not enough registers.
    constexpr bool consecutive = Right<Isa, Vectors>::rows_are_consecutive;
    constexpr int runs = !consecutive && Rows % 2 == 0 ? 2 : 1, run = Rows / runs;
    constexpr int reach = consecutive ? 3 : 4, pointers_of_run = (run + reach - 1) / reach;
    constexpr int pointers = runs * pointers_of_run;
    const char* at[pointers];
    const char* const left = reinterpret_cast<const char*>(tile.left);
    ptrdiff_t stride = tile.left_stride * ptrdiff_t(sizeof(Scalar));
    const ptrdiff_t jump = tile.left_jump * ptrdiff_t(sizeof(Scalar));
    const ptrdiff_t* const left_offsets = consecutive ? nullptr : tile.left_offsets + tile.depth;
    if constexpr (consecutive) {
        unroll<pointers>([&](auto p) {
            at[p.value] = left + p.value * reach * stride;
            asm("" : "+r"(at[p.value]));
        });
    }
    const Right<Isa, Vectors> right(tile.right, tile.depth);
    const char* ahead = static_cast<const char*>(tile.ahead);
    // Read anew each time, because the loop has no register to spare.
    const volatile ptrdiff_t& ahead_step = tile.ahead_step;
    // Counted up to zero, because the end of a count from zero would take a register more.
    for (int64_t d = -tile.depth; d != 0; ++d) {
        Vector column[Vectors];
        unroll<Vectors>([&](auto v) { column[v.value] = Isa::load(right.template at<v.value>(d)); });
        if constexpr (!consecutive) {
            if constexpr (Right<Isa, Vectors>::fetches_pieces) {
                __builtin_prefetch(ahead, 0, 2);
                ahead += ahead_step;
            } else {
                __builtin_prefetch(ahead + right.offsets[d] * ptrdiff_t(sizeof(Scalar)), 0, 2);
            }
            // As if it were new each time, so that no registers are spent on multiples that are addressing modes.
            asm("" : "+r"(stride));
            at[0] = left + left_offsets[d] * ptrdiff_t(sizeof(Scalar));
            asm("" : "+r"(at[0]));
            unroll<pointers - 1>([&](auto p) {
                constexpr int next = p.value + 1;
                at[next] = next == pointers_of_run ? at[0] + jump : at[p.value] + reach * stride;
                asm("" : "+r"(at[next]));
            });
        }
        unroll<Rows>([&](auto r) {
            constexpr int in_run = r.value % run;
            const char* row = at[r.value / run * pointers_of_run + in_run / reach] + (in_run % reach) * stride;
            const Vector number = Isa::broadcast(reinterpret_cast<const Scalar*>(row));
            unroll<Vectors>(
                [&](auto v) { acc[r.value][v.value] = Isa::fma(number, column[v.value], acc[r.value][v.value]); });
        });
        if constexpr (consecutive) {
            unroll<pointers>([&](auto p) {
                at[p.value] += sizeof(Scalar);
                asm("" : "+r"(at[p.value]));
            });
        }
    }

    const auto store = [&](const Tile<Scalar>& to) __attribute__((always_inline)) {
        store_sums<Isa, Right<Isa, Vectors>::finish == Finish::in_registers>(
            acc, Right<Isa, Vectors>::whole ? lanes : to.cols - (Vectors - 1) * lanes, to.accumulate, to.epilogue,
            [&](auto r) { return to.y + (r.value % run) * to.y_stride + r.value / run * to.y_jump; });
    };
    if constexpr (Scalar(0.5) > 0) {
        // Where sums go is read once, not for each of them, but behind the loop, which has no registers for it.
        const Tile<Scalar>* done = &tile;
        asm("" : "+r"(done));
        store(Tile<Scalar>(*done));
    } else {
        store(tile);
    }
}

/// multiply_tile for every number of rows and vectors that the registers have room for.
template <typename Isa, template <typename, int> class Right>
struct TileTable {
    using Function = void (*)(const Tile<typename Isa::Scalar>&);
    static constexpr int vectors = Isa::panel_vectors > Isa::tile_vectors ? Isa::panel_vectors : Isa::tile_vectors;
    static constexpr int rows = Isa::panel_rows[0] > Isa::tile_rows ? Isa::panel_rows[0] : Isa::tile_rows;

    Function functions[rows * vectors];

    template <int I>
    static constexpr Function function() {
        constexpr int tile_rows = I / vectors + 1, tile_vectors = I % vectors + 1;
        if constexpr (tile_rows <= Right<Isa, tile_vectors>::most_rows) {
            return multiply_tile<Isa, Right, tile_rows, tile_vectors>;
        } else {
            return nullptr;
        }
    }
    template <int... I>
    static constexpr TileTable make(Sequence<I...>) {
        return {{function<I>()...}};
    }
};

/// `finish` for sums that are stored already.
template <typename Isa>
void finish_stored(const Tile<typename Isa::Scalar>& tile) {
    if (!tile.epilogue) return;
    const Epilogue<typename Isa::Scalar>& epilogue = *tile.epilogue;
    // The common case apart, of which nothing is asked again for each vector.
    const bool only_bias = !epilogue.residual && !epilogue.clamps && tile.cols == Isa::tile_vectors * Isa::lanes;
    for (int row = 0; row < tile.rows; ++row) {
        const typename Isa::Vector bias = Isa::broadcast(epilogue.bias + row);
        typename Isa::Scalar* const y = tile.y + row * tile.y_stride;
        if (only_bias) {
            unroll<Isa::tile_vectors>([&](auto v) {
                Isa::store(y + v.value * Isa::lanes, Isa::add(Isa::load(y + v.value * Isa::lanes), bias));
            });
            continue;
        }
        const typename Isa::Scalar* residual = epilogue.residual;
        if (residual) residual += row * epilogue.residual_stride;
        for (int col = 0; col < tile.cols; col += Isa::lanes) {
            const int count = tile.cols - col < Isa::lanes ? tile.cols - col : Isa::lanes;
            const auto* const added = residual ? residual + col : nullptr;
            if (count == Isa::lanes) {
                Isa::store(y + col, finish<Isa>(Isa::load(y + col), bias, added, count, epilogue));
            } else {
                const auto sum = finish<Isa>(Isa::load_first(y + col, count), bias, added, count, epilogue);
                Isa::store_first(y + col, sum, count);
            }
        }
    }
}

template <typename Isa, template <typename, int> class Right>
void multiply(const Tile<typename Isa::Scalar>& tile) {
    using Table = TileTable<Isa, Right>;
    static constexpr Table table = Table::make(typename MakeSequence<Table::rows * Table::vectors>::type{});
    const int vectors = (tile.cols + Isa::lanes - 1) / Isa::lanes;
    table.functions[(tile.rows - 1) * Table::vectors + vectors - 1](tile);
    if constexpr (Right<Isa, 1>::finish != Finish::never) {
        using Sums = typename Right<Isa, 1>::Sums;
        if constexpr (Right<Isa, 1>::finish == Finish::in_memory) finish_stored<Sums>(tile);
        bend_stored<Sums>(tile.epilogue, tile.y, tile.y_stride, tile.rows, tile.cols);
    }
}

template <typename Isa>
void multiply_panel(const Tile<typename Isa::Scalar>& tile) {
    if (tile.ahead_step != 0 && tile.cols == Isa::panel_vectors * Isa::lanes) {
        return multiply<Isa, FetchingPanelVectors>(tile);
    }
    multiply<Isa, PanelVectors>(tile);
}

}  // namespace
}  // namespace flatconv

#endif
