// What the tests of several rooms share: every kernel set that this CPU can run, and random numbers, and
// comparisons to the bit.
#ifndef FLATCONV_TESTS_KERNEL_SETS_HPP
#define FLATCONV_TESTS_KERNEL_SETS_HPP

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/dispatch.hpp"

namespace flatconv::tests {

inline std::vector<const KernelSet*> usable_kernel_sets() {
    std::vector<const KernelSet*> sets;
    const CompiledSets compiled = compiled_kernel_sets();
    for (int i = 0; i < compiled.count; ++i) {
        if (usable(*compiled.sets[i])) sets.push_back(compiled.sets[i]);
    }
    return sets;
}

template <typename T>
std::vector<T> random_numbers(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<T> normal;
    std::vector<T> numbers(count);
    for (T& number : numbers) number = normal(generator);
    return numbers;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// The same but for NaNs, of which one is as good as any other.
template <typename T>
bool same_results(const std::vector<T>& a, const std::vector<T>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    }
    return true;
}

}  // namespace flatconv::tests

#endif
