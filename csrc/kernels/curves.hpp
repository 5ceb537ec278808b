// The activations that bend, written once: bend.hpp computes them on vectors, conv/definition.hpp on one number at a
// time, and both get the same bits, because every step is an operation that IEEE 754 defines.
//
// Of `Isa` (kernels.hpp) they use arithmetic, comparisons, and `raise`. docs/numerics.md has the formulas, where they
// come from, and how far from the truth they are.
#ifndef FLATCONV_KERNELS_CURVES_HPP
#define FLATCONV_KERNELS_CURVES_HPP

#include "kernels/kernel_set.hpp"
#include "kernels/unroll.hpp"

namespace flatconv {
namespace {

/// Isa::raise of one number.
template <typename Bits, int Significand, typename T>
FLATCONV_INLINE T raised_bits(T a, T n) {
    Bits bits, exponent;
    __builtin_memcpy(&bits, &a, sizeof a);
    __builtin_memcpy(&exponent, &n, sizeof n);
    bits += exponent << Significand;
    __builtin_memcpy(&a, &bits, sizeof a);
    return a;
}
FLATCONV_INLINE float raised(float a, float n) { return raised_bits<uint32_t, 23>(a, n); }
FLATCONV_INLINE double raised(double a, double n) { return raised_bits<uint64_t, 52>(a, n); }

/// The numbers of the formulas, in each type. Those that are no powers of two are rounded from 60 digits; polynomials
/// interpolate at Chebyshev's points.
template <typename T>
struct CurveNumbers;

template <>
struct CurveNumbers<float> {
    static constexpr float log2_e = 0x1.715476p+0f;
    /// Added to a number, it leaves no room for a fraction: the sum's last bits are the nearest whole number.
    static constexpr float magic = 0x1.8p+23f;
    /// The logarithm of 2 in two parts. The first has so few bits that its product with a whole number is exact.
    static constexpr float ln2 = 0x1.62e4p-1f, ln2_rest = 0x1.7f7d1cp-20f;
    /// (e^r − 1 − r) / r² for |r| ≤ ln 2 / 2.
    static constexpr float exponential[] = {0x1p-1f,       0x1.555556p-3f, 0x1.5554e8p-5f,
                                            0x1.1110ep-7f, 0x1.6d43bp-10f, 0x1.a1256cp-13f};
    /// What keeps e^x normal for x ≥ least, below which every curve is a constant, and its inverse.
    static constexpr float lift = 0x1p+64f, unlift = 0x1p-64f, least = -110;
    /// From here on, tanh rounds to 1, and t · Φ(−t) to 0.
    static constexpr float tanh_end = 10, tail_end = 15;
    /// 1 / √(2π): the normal distribution's density at 0.
    static constexpr float density = 0x1.988454p-2f;
    /// (t + centre) · Φ(−t) · e^(t²/2) as a polynomial of (t − centre) / (t + centre), for 0 ≤ t ≤ tail_end.
    static constexpr float centre = 3;
    static constexpr float tail[] = {0x1.754a76p-1f,   -0x1.04c72ap-1f, 0x1.d71382p-3f,  -0x1.832d32p-5f,
                                     -0x1.56d40ap-7f,  0x1.c8c7dcp-8f,  0x1.0c7a08p-10f, -0x1.0f2e8cp-10f,
                                     -0x1.0098a8p-12f, 0x1.1799cp-13f,  0x1.d17fe4p-15f};
};

template <>
struct CurveNumbers<double> {
    static constexpr double log2_e = 0x1.71547652b82fep+0;
    static constexpr double magic = 0x1.8p+52;
    static constexpr double ln2 = 0x1.62e42feep-1, ln2_rest = 0x1.a39ef35793c76p-33;
    static constexpr double exponential[] = {0x1p-1,
                                             0x1.5555555555557p-3,
                                             0x1.5555555555556p-5,
                                             0x1.11111111100bep-7,
                                             0x1.6c16c16c162c3p-10,
                                             0x1.a01a01abf85abp-13,
                                             0x1.a01a01a6e1e2ap-16,
                                             0x1.71de01fdbf9cap-19,
                                             0x1.27e4db46cddd1p-22,
                                             0x1.af4e554377204p-26,
                                             0x1.1f7340dbc337ep-29};
    static constexpr double lift = 0x1p+128, unlift = 0x1p-128, least = -760;
    static constexpr double tanh_end = 20, tail_end = 39;
    static constexpr double density = 0x1.9884533d43651p-2;
    static constexpr double centre = 5;
    static constexpr double tail[] = {
        0x1.89d3abe1f95aep-1,   -0x1.54ad03f27ca18p-1, 0x1.fb31653876f88p-2,   -0x1.410ed5f875951p-2,
        0x1.51f6329f01c14p-3,   -0x1.1b1c254ca3cfbp-4, 0x1.54b4d4f485917p-6,   -0x1.88590e98b86c4p-9,
        -0x1.a25037709917fp-11, 0x1.1daf1aefb143cp-11, -0x1.f214964402c05p-15, -0x1.a17019ab0560dp-15,
        0x1.17df303be3db5p-16,  0x1.0b15ba96cf05bp-18, -0x1.73e2fe53a223bp-19, -0x1.676fde1639a77p-22,
        0x1.d48a16d350a97p-22,  0x1.5bb2d91655ceep-25, -0x1.2d64fbccec4e3p-24, -0x1.30fa17f73f0edp-27,
        0x1.71aa46057bf7ap-27,  0x1.4c52fe9f5800cp-29, -0x1.2eabcbe0ea437p-30, -0x1.de076b25a9b3fp-32,
        -0x1.a50f96333ac8ep-36};
};

template <typename Isa>
class Curves {
    using Scalar = typename Isa::Scalar;
    using Vector = typename Isa::Vector;
    using Numbers = CurveNumbers<Scalar>;

  public:
    static FLATCONV_INLINE Vector leaky_relu(Vector x, Scalar slope) {
        return Isa::select_less(x, Isa::zero(), Isa::mul(x, number(slope)), x);
    }

    /// max(x, −3) · (relu6(x + 3) / 6): without the bound, −Inf times zero would be a NaN.
    static FLATCONV_INLINE Vector hardswish(Vector x) {
        const Vector three = number(3), six = number(6);
        const Vector gate = Isa::min(six, Isa::max(Isa::zero(), Isa::add(x, three)));
        return Isa::mul(Isa::max(number(-3), x), Isa::div(gate, six));
    }

    /// 1 / (1 + e^−x).
    static FLATCONV_INLINE Vector sigmoid(Vector x) {
        const Gate gate = gate_of(x, bounded_below_zero(x));
        return Isa::mul(Isa::add(gate.y.sum, gate.y.rest), gate.unlift);
    }

    /// x · sigmoid(x).
    static FLATCONV_INLINE Vector silu(Vector x) {
        const Vector below = bounded_below_zero(x);
        const Gate gate = gate_of(x, below);
        // An infinite x must not meet a rest of zero.
        const Vector bounded = Isa::select_less(x, Isa::zero(), below, minus(below));
        const Vector rest = Isa::mul(bounded, gate.y.rest);
        return Isa::mul(Isa::fma(Isa::max(number(Numbers::least), x), gate.y.sum, rest), gate.unlift);
    }

    /// m / (m + 2) with m = e^2|x| − 1, and the sign of x.
    static FLATCONV_INLINE Vector tanh(Vector x) {
        const Vector size = Isa::min(number(Numbers::tanh_end), magnitude(x));
        const Power e = power(Isa::add(size, size), Isa::zero(), 1);
        Pair m = fma_pair(e.scale, e.above_one.sum, Isa::sub(e.scale, number(1)));
        m.rest = Isa::fma(e.scale, e.above_one.rest, m.rest);
        Pair below = add_pair(m.sum, number(2));
        below.rest = Isa::add(below.rest, m.rest);
        const Pair y = divide(m, below, Isa::div(number(1), below.sum));
        const Vector positive = Isa::add(y.sum, y.rest);
        return Isa::select_less(x, Isa::zero(), minus(positive), positive);
    }

    /// x · Φ(x), as max(x, 0) − t · Φ(−t) with t = |x|.
    ///
    /// Φ(−t) = e^(−t²/2) · R(t), and R(t) = P(q) / (t + centre) with q = (t − centre) / (t + centre).
    static FLATCONV_INLINE Vector gelu(Vector x) {
        const Vector t = Isa::min(number(Numbers::tail_end), magnitude(x));
        const Vector minus_half = number(Scalar(-0.5)), two_centres = number(2 * Numbers::centre);
        const Pair square = multiply_pair(t, t);
        const Power e = power(Isa::mul(square.sum, minus_half), Isa::mul(square.rest, minus_half), Numbers::lift);

        const Pair below = add_pair(t, number(Numbers::centre));
        const Vector inverse = Isa::div(number(1), below.sum);
        const Vector q = Isa::sub(number(1), Isa::mul(inverse, two_centres));
        const Pair p = fma_pair(q, polynomial<1>(q, Numbers::tail), number(Numbers::tail[0]));
        Pair ratio = divide(p, below, inverse);
        // This q belongs to a t that is `shift` away. P(q) / (t + centre) has the slope t · R − 1 / √(2π), which is R's
        // own, and R / (t + centre) beside it.
        const Vector left = Isa::sub(number(1), q);
        const Vector off = Isa::fma(left, below.rest, Isa::fma(left, below.sum, minus(two_centres)));
        const Vector shift = Isa::mul(off, Isa::mul(below.sum, number(1 / (2 * Numbers::centre))));
        const Vector slope = Isa::fma(ratio.sum, Isa::add(t, inverse), number(-Numbers::density));
        ratio.rest = Isa::fma(slope, shift, ratio.rest);

        Pair product = multiply_pair(t, ratio.sum);
        product.rest = Isa::fma(t, ratio.rest, product.rest);
        Vector rest = Isa::fma(product.rest, e.above_one.sum, product.rest);
        rest = Isa::fma(product.sum, e.above_one.rest, rest);
        rest = Isa::fma(product.sum, e.above_one.sum, rest);
        const Vector lifted = Isa::mul(Isa::add(product.sum, rest), e.scale);
        return Isa::fma(lifted, number(-Numbers::unlift), Isa::max(Isa::zero(), x));
    }

  private:
    /// A rounded number, and what rounding took from it.
    struct Pair {
        Vector sum;
        Vector rest;
    };

    static FLATCONV_INLINE Vector number(Scalar value) { return Isa::broadcast(&value); }
    static FLATCONV_INLINE Vector minus(Vector x) { return Isa::sub(Isa::zero(), x); }
    static FLATCONV_INLINE Vector magnitude(Vector x) { return Isa::max(minus(x), x); }

    /// −|x|, but not below `least`.
    static FLATCONV_INLINE Vector bounded_below_zero(Vector x) {
        return Isa::max(number(Numbers::least), Isa::min(minus(x), x));
    }

    static FLATCONV_INLINE Pair multiply_pair(Vector a, Vector b) {
        const Vector product = Isa::mul(a, b);
        return {product, Isa::fma(a, b, minus(product))};
    }

    /// a · b + c, for a sum near c, or a c of zero.
    static FLATCONV_INLINE Pair fma_pair(Vector a, Vector b, Vector c) {
        const Vector sum = Isa::fma(a, b, c);
        return {sum, Isa::fma(a, b, Isa::sub(c, sum))};
    }

    /// a + b, for numbers that are not negative.
    static FLATCONV_INLINE Pair add_pair(Vector a, Vector b) {
        const Vector sum = Isa::add(a, b);
        return {sum, Isa::add(Isa::sub(Isa::max(a, b), sum), Isa::min(a, b))};
    }

    /// `inverse` is that of below.sum.
    static FLATCONV_INLINE Pair divide(const Pair& above, const Pair& below, Vector inverse) {
        const Vector y = Isa::mul(above.sum, inverse), minus_y = minus(y);
        const Vector rest = Isa::fma(minus_y, below.sum, above.sum);
        return {y, Isa::mul(Isa::add(rest, Isa::fma(minus_y, below.rest, above.rest)), inverse)};
    }

    /// coefficients[First] + coefficients[First + 1] · x + …
    template <int First, int Count>
    static FLATCONV_INLINE Vector polynomial(Vector x, const Scalar (&coefficients)[Count]) {
        Vector sum = number(coefficients[Count - 1]);
        unroll<Count - 1 - First>(
            [&](auto i) { sum = Isa::fma(sum, x, number(coefficients[Count - 2 - decltype(i)::value])); });
        return sum;
    }

    /// scale · (1 + above_one).
    struct Power {
        Vector scale;    // a power of two
        Pair above_one;  // between −0.3 and 0.42
    };

    /// e^(x + x_rest) · lift, after W. J. Cody and W. Waite: with n the whole number nearest to x / ln 2, e^x is
    /// 2^n · e^r, r = x − n · ln 2.
    static FLATCONV_INLINE Power power(Vector x, Vector x_rest, Scalar lift) {
        const Vector count = Isa::fma(x, number(Numbers::log2_e), number(Numbers::magic));
        const Vector minus_n = Isa::sub(number(Numbers::magic), count);
        const Vector exact = Isa::fma(minus_n, number(Numbers::ln2), x);
        const Vector rest = Isa::fma(minus_n, number(Numbers::ln2_rest), x_rest);
        const Vector r = Isa::add(exact, rest);
        Pair m = fma_pair(Isa::mul(r, r), polynomial<0>(r, Numbers::exponential), r);
        m.rest = Isa::add(m.rest, Isa::add(Isa::sub(exact, r), rest));
        return {Isa::raise(number(lift), count), m};
    }

    /// y · unlift is sigmoid(x).
    struct Gate {
        Pair y;
        Vector unlift;
    };

    /// 1 / (1 + e^−x) or, below zero, e^x / (1 + e^x), which stays lifted until its user rounds it for good. The
    /// exponential is that of `below_zero`, and cannot overflow.
    static FLATCONV_INLINE Gate gate_of(Vector x, Vector below_zero) {
        const Power lifted = power(below_zero, Isa::zero(), Numbers::lift);
        Pair e = fma_pair(lifted.scale, lifted.above_one.sum, lifted.scale);
        e.rest = Isa::fma(lifted.scale, lifted.above_one.rest, e.rest);
        const Vector one = number(1), unlift = number(Numbers::unlift);
        Pair below = add_pair(Isa::mul(e.sum, unlift), one);
        below.rest = Isa::fma(e.rest, unlift, below.rest);
        const Pair above{Isa::select_less(x, Isa::zero(), e.sum, one),
                         Isa::select_less(x, Isa::zero(), e.rest, Isa::zero())};
        return {divide(above, below, Isa::div(one, below.sum)), Isa::select_less(x, Isa::zero(), unlift, one)};
    }
};

/// visit(f), where f(x) is the curve of a vector.
template <typename Isa, typename Visit>
FLATCONV_INLINE void visit_curve(Curve curve, typename Isa::Scalar slope, const Visit& visit) {
    using Vector = typename Isa::Vector;
    switch (curve) {
        case Curve::none: return;
        case Curve::leaky_relu: return visit([slope](Vector x) { return Curves<Isa>::leaky_relu(x, slope); });
        case Curve::sigmoid: return visit([](Vector x) { return Curves<Isa>::sigmoid(x); });
        case Curve::tanh: return visit([](Vector x) { return Curves<Isa>::tanh(x); });
        case Curve::silu: return visit([](Vector x) { return Curves<Isa>::silu(x); });
        case Curve::gelu: return visit([](Vector x) { return Curves<Isa>::gelu(x); });
        case Curve::hardswish: return visit([](Vector x) { return Curves<Isa>::hardswish(x); });
    }
}

}  // namespace
}  // namespace flatconv

#endif
