// Default number of threads, and the public get_num_threads and set_num_threads.
#include "parallel/num_threads.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>

#include "flatconv/flatconv.hpp"
#include "parallel/cpu_count.hpp"

namespace flatconv::parallel {
namespace {

constexpr const char* own_variable = "FLATCONV_NUM_THREADS";

// Plain atomics rather than a guarded static: a child forked amid the initialization of a static would wait for ever.
std::atomic<int> chosen_threads{0};
std::atomic<int> known_default{-1};

std::string_view without_blanks(std::string_view text) noexcept {
    constexpr const char* blanks = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// The first number of a list; 0 where that is no positive integer.
int first_of(std::string_view list) noexcept {
    const std::string_view first = without_blanks(list.substr(0, list.find(',')));
    long long threads = 0;
    const auto [stop, error] = std::from_chars(first.data(), first.data() + first.size(), threads);
    const bool is_integer = error == std::errc() && stop == first.data() + first.size();
    return is_integer && threads > 0 ? static_cast<int>(std::min<long long>(threads, max_threads)) : 0;
}

}  // namespace

int choose_threads(const char* flatconv_num_threads, const char* omp_num_threads, int cpus) noexcept {
    const std::string_view own = without_blanks(flatconv_num_threads ? flatconv_num_threads : "");
    if (!own.empty()) return first_of(own);
    const int openmp = first_of(omp_num_threads ? omp_num_threads : "");
    return openmp > 0 ? openmp : std::clamp(cpus, 1, max_threads);
}

int default_threads() noexcept {
    int threads = known_default.load(std::memory_order_relaxed);
    if (threads < 0) {
        threads = choose_threads(std::getenv(own_variable), std::getenv("OMP_NUM_THREADS"), usable_cpus());
        known_default.store(threads, std::memory_order_relaxed);
    }
    return threads;
}

Status check_default_threads() {
    if (default_threads() > 0) return {};
    const char* value = std::getenv(own_variable);
    return {StatusCode::invalid_argument,
            std::string(own_variable) + " must be a positive integer, got \"" + (value ? value : "") + "\""};
}

}  // namespace flatconv::parallel

namespace flatconv {

int v0::get_num_threads() noexcept {
    const int chosen = parallel::chosen_threads.load(std::memory_order_relaxed);
    return chosen != 0 ? chosen : parallel::default_threads();
}

Status v0::set_num_threads(int threads) noexcept try {
    if (threads < 0)
        return {StatusCode::invalid_argument, "threads must be at least 1, got " + std::to_string(threads)};
    if (threads > parallel::max_threads)
        return {StatusCode::invalid_argument, "threads must be at most " + std::to_string(parallel::max_threads) +
                                                  ", got " + std::to_string(threads)};
    if (threads == 0) {
        if (Status status = parallel::check_default_threads(); !status) return status;
    }
    parallel::chosen_threads.store(threads, std::memory_order_relaxed);
    return {};
} catch (const std::exception&) {
    return {StatusCode::out_of_memory, {}};
}

}  // namespace flatconv
