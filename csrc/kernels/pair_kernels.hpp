// The kernels of bfloat16 by the CPU's own dot product; for each kernels_<isa>.cpp that has one.
#ifndef FLATCONV_KERNELS_PAIR_KERNELS_HPP
#define FLATCONV_KERNELS_PAIR_KERNELS_HPP

#include "kernels/half.hpp"
#include "kernels/packing.hpp"

namespace flatconv {
namespace {

void join(const float* numbers, int64_t count, float* words) {
    const int64_t pairs = count / 2;
    for (int64_t i = 0; i < pairs; ++i) {
        const uint32_t upper = bits_of_float(numbers[2 * i]), lower = bits_of_float(numbers[2 * i + 1]);
        words[i] = float_of_bits(upper | lower >> 16);
    }
    if (count % 2) words[pairs] = numbers[count - 1];
}

/// The least of many numbers, by their ranks: less one, and without its sign, a zero is the largest number of all.
constexpr uint16_t infinite_half = 0x7F80;
FLATCONV_INLINE int exponent_of_rank(uint32_t rank) { return int((rank + 1) >> 7); }

template <typename Isa>
class LeastHalf {
  public:
    FLATCONV_INLINE void see(typename Isa::Vector halves) { ranks_ = Isa::lesser(ranks_, halves); }

    int exponent() const {
        uint16_t ranks[2 * Isa::lanes];
        Isa::store_ranks(ranks, ranks_);
        uint16_t least = infinite_half;
        for (const uint16_t rank : ranks) least = rank < least ? rank : least;
        return exponent_of_rank(least);
    }

  private:
    typename Isa::Ranks ranks_ = Isa::ranks_from(infinite_half);
};

int least_exponent(const float* numbers, int64_t count) {
    uint32_t least = infinite_half;
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t rank = (bits_of_float(numbers[i]) >> 16 & 0x7FFFu) - 1;
        least = rank < least ? rank : least;
    }
    return exponent_of_rank(least);
}

template <typename Isa>
int least_exponent_of_halves(const uint16_t* halves, int64_t count) {
    LeastHalf<Isa> least;
    int64_t i = 0;
    for (; i + 2 * Isa::lanes <= count; i += 2 * Isa::lanes) {
        least.see(Isa::load(reinterpret_cast<const float*>(halves + i)));
    }
    for (; i < count; i += Isa::lanes) {
        const int rest = int(count - i < Isa::lanes ? count - i : Isa::lanes);
        least.see(Isa::join(Isa::load_halves_first(halves + i, rest), Isa::no_halves()));
    }
    return least.exponent();
}

/// use(read), where `read(from, count)` gives so many halves that lie `step` bytes apart, at most as many as there are
/// words in a vector.
template <typename Isa, typename Use>
FLATCONV_INLINE void with_reader(ptrdiff_t step, const Use& use) {
    if (step == half_bytes) {
        use([](const char* from, int count) __attribute__((always_inline)) {
            return count == Isa::lanes ? Isa::load_halves(from) : Isa::load_halves_first(from, count);
        });
    } else if (step == 2 * half_bytes) {
        use([](const char* from, int count) __attribute__((always_inline)) { return Isa::even_halves(from, count); });
    } else {
        use([step](const char* from, int count) {
            uint16_t halves[Isa::lanes] = {};
            for (int l = 0; l < count; ++l) __builtin_memcpy(halves + l, from + l * step, half_bytes);
            return Isa::load_halves(halves);
        });
    }
}

/// part(first column, columns) for each vector of a row.
template <typename Isa, typename Part>
FLATCONV_INLINE void each_part(int64_t cols, const Part& part) {
    int64_t c = 0;
    for (; c + Isa::lanes <= cols; c += Isa::lanes) part(c, Isa::lanes);
    if (c < cols) part(c, int(cols - c));
}

template <typename Isa>
void copy_halves(const Widening<uint16_t>& w) {
    with_reader<Isa>(w.from_step, [&](const auto& read) {
        for (int64_t r = 0; r < w.rows; ++r) {
            const char* const from = static_cast<const char*>(w.from) + r * w.from_stride;
            uint16_t* const to = w.to + r * w.to_stride;
            each_part<Isa>(w.cols, [&](int64_t c, int count) __attribute__((always_inline)) {
                const char* const at = from + c * w.from_step;
                __builtin_prefetch(at + w.next);
                const auto halves = read(at, count);
                if (count == Isa::lanes) {
                    Isa::store_halves(to + c, halves);
                } else {
                    Isa::store_halves_first(to + c, halves, count);
                }
            });
        }
    });
}

template <typename Isa>
int join_halves(const HalfJoin& j) {
    LeastHalf<Isa> least;
    // `words(first, second, count)` are those of so many columns.
    const auto each_row = [&](const auto& words) __attribute__((always_inline)) {
        for (int64_t r = 0; r < j.rows; ++r) {
            const char* const first = static_cast<const char*>(j.first) + r * j.from_stride;
            float* const to = j.to + r * j.to_stride;
            each_part<Isa>(j.cols, [&](int64_t c, int count) __attribute__((always_inline)) {
                const char* const at = first + c * j.from_step;
                __builtin_prefetch(at + j.next);
                __builtin_prefetch(at + j.second + j.next);
                const typename Isa::Vector joined = words(at, at + j.second, count);
                least.see(joined);
                if (count == Isa::lanes) {
                    Isa::store(to + c, joined);
                } else {
                    Isa::store_first(to + c, joined, count);
                }
            });
        }
    };
    if (j.from_step == 2 * half_bytes && j.second == half_bytes && j.has_second) {
        each_row([](const char* first, const char*, int count) {
            return Isa::swapped(Isa::load_first(reinterpret_cast<const float*>(first), count));
        });
    } else if (j.from_step == 2 * half_bytes && j.has_second) {
        each_row([](const char* first, const char* second, int count) { return Isa::join_even(first, second, count); });
    } else {
        with_reader<Isa>(j.from_step, [&](const auto& read) {
            each_row([&](const char* first, const char* second, int count) __attribute__((always_inline)) {
                return Isa::join(read(first, count), j.has_second ? read(second, count) : Isa::no_halves());
            });
        });
    }
    return least.exponent();
}

/// `floats` are those of the same machine, of which `Isa` has another fma.
template <typename Isa>
constexpr PairKernels make_pair_kernels(const Kernels<float>& floats) {
    PairKernels kernels{floats,           floats,         {copy_halves<Isa>, nullptr},  join,
                        join_halves<Isa>, least_exponent, least_exponent_of_halves<Isa>};
    kernels.words.multiply = kernels.joining.multiply = multiply<Isa, WordVectors>;
    kernels.joining.pack_vector = pack_vector<Isa, JoinedDepths>;
    return kernels;
}

}  // namespace
}  // namespace flatconv

#endif
