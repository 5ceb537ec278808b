// Memory for workspaces, aligned to cache lines; asked for by the public entries before they touch any output.
#ifndef FLATCONV_BASE_ALIGNED_BUFFER_HPP
#define FLATCONV_BASE_ALIGNED_BUFFER_HPP

#include <cstddef>
#include <limits>
#include <new>
#include <utility>

namespace flatconv {

inline constexpr std::size_t cache_line = 64;

/// Owns `bytes` of uninitialised memory that starts on a cache line.
class AlignedBuffer {
  public:
    AlignedBuffer() noexcept = default;
    /// Null `data()` when the memory is not to be had; never throws. No object is larger than pointers' differences,
    /// and an operator new that rounds up could take the largest sizes for small ones.
    explicit AlignedBuffer(std::size_t bytes) noexcept {
        if (bytes > std::size_t(std::numeric_limits<std::ptrdiff_t>::max())) return;
        data_ = static_cast<std::byte*>(::operator new(bytes, std::align_val_t{cache_line}, std::nothrow));
    }
    ~AlignedBuffer() { ::operator delete(data_, std::align_val_t{cache_line}); }
    AlignedBuffer(AlignedBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }

    std::byte* data() const noexcept { return data_; }

  private:
    std::byte* data_ = nullptr;
};

/// Hands out pieces of one buffer in turn, each on a cache line. Over a null buffer it only adds up the sizes, so that
/// the code which lays a workspace out is also the code which measures it. Sizes beyond those of std::size_t add up to
/// the most that it holds, which no allocation grants.
class Carver {
  public:
    explicit Carver(std::byte* start) noexcept : start_(start) {}

    template <typename T>
    T* take(std::size_t count) noexcept {
        const std::size_t at = used_;
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
        const bool fits = count <= (most - (cache_line - 1)) / sizeof(T);
        const std::size_t bytes = fits ? (count * sizeof(T) + cache_line - 1) / cache_line * cache_line : most;
        used_ = bytes <= most - used_ ? used_ + bytes : most;
        return start_ ? reinterpret_cast<T*>(start_ + at) : nullptr;
    }

    std::size_t used() const noexcept { return used_; }

  private:
    std::byte* start_;
    std::size_t used_ = 0;
};

/// The workspaces of a call's participants in one piece of memory: what they share, then as much for each of them.
/// Sizes saturate, as those of a Carver.
class Workspaces {
  public:
    Workspaces() noexcept = default;
    Workspaces(int participants, std::size_t each) noexcept : participants_(std::size_t(participants)), each_(each) {}

    /// `take_shared(carver)` and `take_own(carver)` take what is needed.
    template <typename TakeShared, typename TakeOwn>
    Workspaces(int participants, const TakeShared& take_shared, const TakeOwn& take_own)
        : participants_(std::size_t(participants)) {
        Carver carver(nullptr);
        take_shared(carver);
        shared_ = carver.used();
        take_own(carver);
        each_ = carver.used() - shared_;
    }

    std::size_t bytes() const noexcept {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
        const bool fits = participants_ == 0 || each_ <= (most - shared_) / participants_;
        return fits ? shared_ + each_ * participants_ : most;
    }

    Carver own(std::byte* start, int participant) const noexcept {
        return Carver(start + shared_ + each_ * std::size_t(participant));
    }

  private:
    std::size_t participants_ = 0, shared_ = 0, each_ = 0;
};

}  // namespace flatconv

#endif
