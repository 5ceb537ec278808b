// The floating-point environment that the results are defined in; set around the work of every thread.
#ifndef FLATCONV_BASE_FLOAT_ENVIRONMENT_HPP
#define FLATCONV_BASE_FLOAT_ENVIRONMENT_HPP

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace flatconv {

/// While it lives, this thread rounds to nearest and keeps subnormals, whatever the application has set (flush-to-zero
/// is often switched on by a library that was linked with -ffast-math). Then all is as before, flags included.
class DefaultFloatEnvironment {
  public:
    DefaultFloatEnvironment() noexcept : before_(read()) { write(default_control); }
    ~DefaultFloatEnvironment() { write(before_); }
    DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
    DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

  private:
#if defined(__x86_64__)
    using Control = unsigned;
    static constexpr Control default_control = 0x1F80;  // all exceptions masked, nothing else
    static Control read() noexcept { return _mm_getcsr(); }
    static void write(Control control) noexcept { _mm_setcsr(control); }
#elif defined(__aarch64__)
    struct Control {
        std::uint64_t mode;   // FPCR
        std::uint64_t flags;  // FPSR
    };
    static constexpr Control default_control{0, 0};
    static Control read() noexcept {
        Control control;
        asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control.mode), "=r"(control.flags));
        return control;
    }
    static void write(Control control) noexcept {
        asm volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(control.mode), "r"(control.flags) : "memory");
    }
#else
    using Control = int;
    static constexpr Control default_control = 0;
    static Control read() noexcept { return 0; }
    static void write(Control) noexcept {}
#endif

    const Control before_;
};

}  // namespace flatconv

#endif
