// What the tests of several rooms share: every kernel set that this CPU can run, and random numbers.
#ifndef FLATCONV_TESTS_KERNEL_SETS_HPP
#define FLATCONV_TESTS_KERNEL_SETS_HPP

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

}  // namespace flatconv::tests

#endif
