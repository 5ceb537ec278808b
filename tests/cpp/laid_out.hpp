// Arrays of the public API in any place in memory: axes in any order, gaps, backwards, and what lies between watched.
#ifndef FLATCONV_TESTS_LAID_OUT_HPP
#define FLATCONV_TESTS_LAID_OUT_HPP

#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <vector>

namespace flatconv::tests {

enum class Layout { rows, channels_innermost, scattered };

inline constexpr Layout all_layouts[] = {Layout::rows, Layout::channels_innermost, Layout::scattered};

template <typename T>
class LaidOut {
  public:
    /// Sizes as those of ByteStrides: (batch, channel, depth, height, width).
    LaidOut(std::int64_t batch, std::int64_t channels, const Extent& spatial, Layout layout, std::mt19937& random)
        : sizes_{batch, channels, spatial[0], spatial[1], spatial[2]} {
        const auto one_of = [&](std::int64_t count) { return std::int64_t(random() % unsigned(count)); };
        std::array<std::size_t, 5> order{4, 3, 2, 1, 0};  // from the innermost axis on
        if (layout == Layout::channels_innermost) order = {1, 4, 3, 2, 0};
        if (layout == Layout::scattered) std::shuffle(order.begin(), order.end(), random);
        // Rows and channels may lie apart, but what the layout is named for is without gaps.
        std::int64_t step = layout == Layout::scattered ? 1 + one_of(2) : 1;
        std::int64_t first = margin, elements = 1;
        for (const std::size_t axis : order) {
            const bool gap = layout == Layout::scattered || (layout == Layout::rows ? axis < 2 : axis != 1);
            const bool backwards = gap && sizes_[axis] > 1 && one_of(2) == 1;
            if (gap && axis != order[0]) step += one_of(3);
            if (backwards) first += step * (sizes_[axis] - 1);
            strides_[axis] = backwards ? -step : step;
            step *= sizes_[axis];
            elements *= sizes_[axis];
        }
        elements_ = elements;
        memory_.assign(std::size_t(step + 2 * margin), between());
        first_ = memory_.data() + first;
        if (elements > 0) fill(std::vector<T>(std::size_t(elements), std::numeric_limits<T>::quiet_NaN()));
    }
    LaidOut(const LaidOut&) = delete;
    LaidOut& operator=(const LaidOut&) = delete;

    /// From and to the order of a dense array.
    void fill(const std::vector<T>& dense) {
        auto from = dense.begin();
        for_each([&](T& element) { element = *from++; });
    }
    std::vector<T> dense() {
        std::vector<T> values;
        for_each([&](T& element) { values.push_back(element); });
        return values;
    }

    /// Whether nothing but the array's elements has been written. (None of them may be equal to what lies between.)
    bool is_untouched_between() const {
        return std::int64_t(memory_.size()) - std::count(memory_.begin(), memory_.end(), between()) == elements_;
    }

    Array to_write() { return {first_, byte_strides()}; }
    ConstArray to_read() const { return {first_, byte_strides()}; }

  private:
    static constexpr std::int64_t margin = 5;
    static T between() { return T(-54321); }

    ByteStrides byte_strides() const {
        ByteStrides bytes;
        for (std::size_t axis = 0; axis < 5; ++axis) bytes[axis] = strides_[axis] * std::int64_t(sizeof(T));
        return bytes;
    }

    template <typename Body>
    void for_each(const Body& body) {
        std::array<std::int64_t, 5> at{};
        for (std::int64_t element = 0; element < elements_; ++element) {
            body(first_[std::inner_product(at.begin(), at.end(), strides_.begin(), std::int64_t(0))]);
            for (std::size_t axis = 5; axis-- > 0;) {
                if (++at[axis] < sizes_[axis]) break;
                at[axis] = 0;
            }
        }
    }

    const std::array<std::int64_t, 5> sizes_;
    std::array<std::int64_t, 5> strides_{};
    std::int64_t elements_ = 0;
    std::vector<T> memory_;
    T* first_;
};

}  // namespace flatconv::tests

#endif
