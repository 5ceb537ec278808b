// Sizes that remember an overflow; used wherever a size is made from the caller's numbers.
#ifndef FLATCONV_BASE_CHECKED_HPP
#define FLATCONV_BASE_CHECKED_HPP

#include <cstdint>
#include <limits>

namespace flatconv {

/// A signed 64-bit number that becomes, and stays, invalid when an operation overflows.
class Checked {
  public:
    constexpr Checked(std::int64_t value = 0) : value_(value) {}

    friend constexpr Checked operator+(Checked a, Checked b) {
        Checked sum;
        sum.valid_ = !__builtin_add_overflow(a.value_, b.value_, &sum.value_) && a.valid_ && b.valid_;
        return sum;
    }
    friend constexpr Checked operator-(Checked a, Checked b) {
        Checked difference;
        difference.valid_ = !__builtin_sub_overflow(a.value_, b.value_, &difference.value_) && a.valid_ && b.valid_;
        return difference;
    }
    friend constexpr Checked operator*(Checked a, Checked b) {
        Checked product;
        product.valid_ = !__builtin_mul_overflow(a.value_, b.value_, &product.value_) && a.valid_ && b.valid_;
        return product;
    }

    constexpr bool valid() const { return valid_; }

    /// The number; only meaningful where `valid()`.
    constexpr std::int64_t value() const { return value_; }

    constexpr bool at_most(std::int64_t limit) const { return valid_ && value_ <= limit; }

  private:
    std::int64_t value_;
    bool valid_ = true;
};

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0); }

constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace flatconv

#endif
