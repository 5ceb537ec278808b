// The public C++ API of flatconv, whole, on one page: describe a convolution, run it, ask what it costs.
//
//     flatconv::ConvProblem problem;
//     problem.in_channels = 64, problem.out_channels = 128;
//     problem.input = {1, 56, 56}, problem.kernel = {1, 3, 3};
//     problem.padding = flatconv::PaddingRule::same;
//     flatconv::Status status = flatconv::conv(problem, {x, weight, bias}, y);
//     if (!status) log(status.message);
//
// The library never prints and never aborts, reads and writes no byte outside the arrays it is given,
// and keeps no global state but its thread pool, the default number of threads and the chosen instruction set.
// All functions are thread-safe.
#ifndef FLATCONV_FLATCONV_HPP
#define FLATCONV_FLATCONV_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#define FLATCONV_VERSION_MAJOR 0
#define FLATCONV_VERSION_MINOR 1
#define FLATCONV_VERSION_PATCH 0
#define FLATCONV_VERSION_STRING "0.1.0"

#if defined(_WIN32) || defined(FLATCONV_STATIC)
#define FLATCONV_API
#else
#define FLATCONV_API __attribute__((visibility("default")))
#endif

namespace flatconv {
inline namespace v0 {

// ---------------------------------------------------------------------------------------------------------------
// Errors

enum class StatusCode {
    ok,
    invalid_argument,  // a bad value or shape; the message names the argument, the axis and the value
    size_overflow,     // a size that does not fit 64 bits, or that no machine can address
    out_of_memory,     // the workspace could not be allocated, or does not fit `Options::workspace_limit`
    cancelled,         // `Options::should_stop` said so; the output is partly written
};

/// What a call came to. Nothing was allocated and no output was touched unless `code` is `ok` or `cancelled`.
struct [[nodiscard]] Status {
    StatusCode code = StatusCode::ok;
    std::string message;

    explicit operator bool() const noexcept { return code == StatusCode::ok; }
};

// ---------------------------------------------------------------------------------------------------------------
// Problems

/// What the arrays hold. float16 (IEEE 754 binary16) and bfloat16 (the upper half of a float32) are for storage: they
/// are read as float32, computed with as float32, bounds of an activation included, and rounded once, to nearest even.
/// Complex numbers are (real part, imaginary part), as std::complex holds them.
enum class DType { float32, float64, float16, bfloat16, complex64, complex128 };

/// Where the amounts of padding come from.
enum class PaddingRule {
    amounts,     // `pad_before` and `pad_after`
    valid,       // none
    same,        // output = ceil(input / stride); an odd element goes after
    same_lower,  // the same, an odd element goes before
    full,        // kernel extent - 1 on both sides: every overlap of the kernel and the image
};

/// What the padding holds; the words are those of numpy.pad, with torch's synonyms replicate = edge, circular = wrap.
enum class PaddingMode { zeros, reflect, replicate, circular, symmetric };

enum class Algorithm {
    automatic,
    reference,  // plain loops over std::fma: slow, and the definition of every other result
    im2col,     // bands of the region matrix, laid out in contiguous memory, times the weights
    implicit,   // the same product, regions read from the padded band wherever whole vectors of them lie there
    channels,   // the same product with vectors of output channels, the weights packed for them
    direct,     // rows of pixels convolved without a region matrix: for few output channels, and for groups of few
};

/// What becomes of each output, last of all; a NaN stays one. Its bits are the same everywhere too.
struct Activation {
    enum Kind : int {
        none,
        relu,
        relu6,
        clip,
        leaky_relu,  // x, but a · x below zero
        sigmoid,     // 1 / (1 + e^−x)
        tanh,
        silu,       // x · sigmoid(x)
        gelu,       // x · Φ(x), with Φ the distribution function of the normal distribution
        hardswish,  // x · relu6(x + 3) / 6
    };
    Kind kind = none;
    double a = 0;  // clip: the least; leaky_relu: the slope; converted to the problem's dtype
    double b = 0;  // clip: the most, not less than `a`
};

inline constexpr int max_spatial_rank = 3;

/// One number for each spatial axis, always (depth, height, width): a problem of lower rank uses the last ones.
using Extent = std::array<std::int64_t, max_spatial_rank>;

/// A convolution (cross-correlation, as in all of deep learning), without its arrays.
///
/// Arrays are x (batch, in_channels, input...), weight (out_channels, in_channels / groups, kernel...),
/// bias (out_channels) and y (batch, out_channels, output...).
///
/// With `transposed`, the transpose of a convolution, which takes y's size back to x's: every pixel of x stamps the
/// kernel on the output, `stride` apart, and what overlaps adds up. weight is (in_channels, out_channels / groups,
/// kernel...), and padding is cut off the output, whose size along an axis is
///
///     (input - 1) * stride + dilation * (kernel - 1) + 1 - pad_before - pad_after + output_padding
///
/// or, under the rules `same` and `same_lower`, input * stride. The padding mode must be `zeros`.
struct ConvProblem {
    DType dtype = DType::float32;
    int spatial_rank = 2;
    std::int64_t batch = 1;
    std::int64_t in_channels = 1;
    std::int64_t out_channels = 1;
    std::int64_t groups = 1;
    Extent input{1, 1, 1};
    Extent kernel{1, 1, 1};
    Extent stride{1, 1, 1};
    Extent dilation{1, 1, 1};
    PaddingRule padding = PaddingRule::amounts;
    Extent pad_before{0, 0, 0};
    Extent pad_after{0, 0, 0};
    PaddingMode padding_mode = PaddingMode::zeros;
    bool transposed = false;
    Extent output_padding{0, 0, 0};  // of transposed problems: less than the stride, or than the dilation
    Activation activation;           // none for complex numbers
};

/// Checks the problem and gives the output's spatial sizes.
FLATCONV_API Status output_size(const ConvProblem& problem, Extent& output) noexcept;

// ---------------------------------------------------------------------------------------------------------------
// Arrays

/// Distances in bytes between neighbours along each axis of an array: (batch, channel, depth, height, width),
/// or (out, in, depth, height, width) for weights; a bias uses the first. Any sign and any value, zero included.
using ByteStrides = std::array<std::int64_t, max_spatial_rank + 2>;

/// An array to read. A plain pointer stands for a dense row-major array. No alignment is asked for.
struct ConstArray {
    const void* data = nullptr;
    bool dense = true;
    ByteStrides byte_strides{};
    DType stored = DType::float32;  // float16 or bfloat16: an array of such for a float32 problem, widened on the way

    ConstArray() = default;
    ConstArray(const void* pointer) : data(pointer) {}
    ConstArray(const void* pointer, const ByteStrides& strides) : data(pointer), dense(false), byte_strides(strides) {}
};

/// An array to write; it must not overlap the inputs or itself.
struct Array {
    void* data = nullptr;
    bool dense = true;
    ByteStrides byte_strides{};

    Array() = default;
    Array(void* pointer) : data(pointer) {}
    Array(void* pointer, const ByteStrides& strides) : data(pointer), dense(false), byte_strides(strides) {}
};

// ---------------------------------------------------------------------------------------------------------------
// The numerical contract

/// Every output is a sum over depth, in the order (input channel, kernel depth, height, width). It is cut into blocks
/// of this length, each a chain of fused multiply-adds from zero; the block sums are added in order; then the bias, or
/// +0 where there is none or it is −0; then the residual; then the activation is applied.
/// Padding counts as real zeros. Rounding is to nearest and subnormals are kept, whatever the caller's environment.
///
/// A transposed convolution, or the gradient of an input, sums over (input channel, kernel depth, height, width) too,
/// but only over the kernel elements of the output's phase: those that lie a whole number of strides from it. A
/// gradient of weights sums over (image, output depth, height, width).
///
/// So the bits of a result depend on the values of x, weight and bias alone: not on threads, batch, memory layout,
/// algorithm or instruction set. (Which NaN a NaN is, its sign and payload, is not part of this.)
inline constexpr std::int64_t depth_block = 384;

// ---------------------------------------------------------------------------------------------------------------
// Running

/// The application's own threads.
class FLATCONV_API Executor {
  public:
    virtual ~Executor();

    /// How many participants can run at the same time; more are never asked for.
    virtual int concurrency() const noexcept = 0;

    /// Calls `body(context, i)` once for each i in [0, participants), on any threads, at the same time or one after the
    /// other, and returns when all have returned. `body` never throws.
    virtual void run(int participants, void (*body)(void* context, int participant), void* context) noexcept = 0;
};

struct Options {
    int threads = 0;  // at most so many; 0: the executor's concurrency, without one `get_num_threads()`
    Algorithm algorithm = Algorithm::automatic;
    std::size_t workspace_limit = std::numeric_limits<std::size_t>::max();  // in bytes, for all threads together
    Executor* executor = nullptr;                                           // null: the library's own pool

    /// Memory to work in, `workspace_bytes(...)` of it, at any address. Null: the call allocates its own. (Beside it, a
    /// call allocates its plan, some kilobytes; a PackedConv keeps that, and for a shape that it knows allocates
    /// nothing.)
    void* workspace = nullptr;
    std::size_t workspace_bytes = 0;

    double work_per_thread = 8e5;  // in multiply-adds: a call with less for each thread uses fewer threads

    /// Asked now and then, on the calling thread alone: true ends the call early with `StatusCode::cancelled`.
    bool (*should_stop)(void* context) = nullptr;
    void* stop_context = nullptr;
};

/// What a convolution reads. Where `bias` or `residual` is null, there is none.
struct Inputs {
    ConstArray x{};
    ConstArray weight{};
    ConstArray bias{};
    ConstArray residual{};  // of y's shape
};

/// y = activation(convolution of x with weight + bias + residual).
FLATCONV_API Status conv(const ConvProblem& problem, const Inputs& inputs, const Array& y,
                         const Options& options = {}) noexcept;

/// dx = gradient, with respect to x, of any scalar function of y = conv(x, weight), without activation: dy, its
/// gradient with respect to y, goes through the transpose of the convolution. In every padding mode, padding hands on
/// what it receives to the pixels that it repeats. The gradient of complex numbers is ∂/∂re + i ∂/∂im, as in torch: the
/// transpose is the conjugate one.
FLATCONV_API Status conv_input_gradient(const ConvProblem& problem, const ConstArray& dy, const ConstArray& weight,
                                        const Array& dx, const Options& options = {}) noexcept;

/// dweight = gradient with respect to weight. (That of the bias is the sum of dy over batch and positions: the same for
/// an x of ones, one channel, and a kernel of one element.)
FLATCONV_API Status conv_weight_gradient(const ConvProblem& problem, const ConstArray& x, const ConstArray& dy,
                                         const Array& dweight, const Options& options = {}) noexcept;

// ---------------------------------------------------------------------------------------------------------------
// Integers

/// The types of bytes: ONNX's tensor(int8) and tensor(uint8).
enum class ByteType { int8, uint8 };

/// What a convolution of bytes reads: x and weight, each with the number that stands for 0 in it.
struct ByteInputs {
    ConstArray x{};
    ConstArray weight{};
    ByteType x_type = ByteType::uint8;
    ByteType weight_type = ByteType::int8;
    std::int32_t x_zero_point = 0;    // a number of x's type; padding holds it
    ConstArray weight_zero_points{};  // int32, one for each output channel, numbers of weight's type; null: 0
};

/// How sums become bytes again.
struct Requantization {
    float x_scale = 1;
    ConstArray weight_scales{};  // float, one for each output channel; null: 1
    float y_scale = 1;
    std::int32_t y_zero_point = 0;  // a number of y's type
    ByteType y_type = ByteType::uint8;
    ConstArray bias{};  // int32, one for each output channel; null: none
};

/// y = convolution of (x - x_zero_point) with (weight - weight_zero_points), in int32: ONNX's ConvInteger. Sums are
/// exact modulo 2^32. Of the problem, `dtype` is not used; it is neither transposed nor has it an activation, and its
/// padding mode is `zeros`. There is one algorithm.
FLATCONV_API Status conv_integer(const ConvProblem& problem, const ByteInputs& inputs, const Array& y,
                                 const Options& options = {}) noexcept;

/// The same, + bias, as bytes: ONNX's QLinearConv. With the scale of a channel, in float arithmetic,
///
///     scale = x_scale * weight_scale / y_scale
///     y = saturate(round_half_even(float(sum + bias) * scale) + y_zero_point)
///
/// to the bit on every instruction set.
FLATCONV_API Status qlinear_conv(const ConvProblem& problem, const ByteInputs& inputs,
                                 const Requantization& requantization, const Array& y,
                                 const Options& options = {}) noexcept;

// ---------------------------------------------------------------------------------------------------------------
// Workspaces and packed layers

enum class Operation { conv, input_gradient, weight_gradient, conv_integer, qlinear_conv };

/// The most memory that an operation works in, in bytes, for all threads together, when arrays are dense, aligned, and
/// of the problem's type, or as `inputs`, which may point nowhere, has those that are read. (Weights in another order
/// are copied, those of a transposed convolution always; images in another order, band by band.)
FLATCONV_API Status workspace_bytes(const ConvProblem& problem, std::size_t& bytes, const Options& options = {},
                                    Operation operation = Operation::conv, const Inputs& inputs = {}) noexcept;

/// A layer that is called many times: its weights are packed once, and what can be decided for a shape of x before the
/// call is decided once. The results are those of `conv`, to the bit. It holds a copy of the weights, so that the
/// caller's may go. Calls may run at the same time.
class FLATCONV_API PackedConv {
  public:
    /// Empty: every call fails.
    PackedConv() noexcept = default;
    ~PackedConv();
    PackedConv(PackedConv&& other) noexcept;
    PackedConv& operator=(PackedConv&& other) noexcept;

    /// The problem's `batch` and `input` do not matter here. `packed` is replaced, unless this fails or is stopped.
    static Status pack(const ConvProblem& problem, const ConstArray& weight, const ConstArray& bias, PackedConv& packed,
                       const Options& options = {}) noexcept;

    /// The problem of a call.
    ConvProblem problem(std::int64_t batch, const Extent& input) const noexcept;

    /// y = activation(convolution of x, or its transpose, + bias + residual).
    Status run(std::int64_t batch, const Extent& input, const ConstArray& x, const Array& y,
               const ConstArray& residual = {}, const Options& options = {}) const noexcept;

    /// As `flatconv::workspace_bytes`. x and y give strides other than dense ones, and may point nowhere.
    Status workspace_bytes(std::int64_t batch, const Extent& input, std::size_t& bytes, const Options& options = {},
                           const ConstArray& x = {}, const Array& y = {}) const noexcept;

    /// How such a call would be computed, with what it is expected to cost, and why the other algorithms would not.
    Status explain(std::int64_t batch, const Extent& input, std::string& text, const Options& options = {},
                   const ConstArray& x = {}, const Array& y = {}) const noexcept;

  private:
    struct Layer;
    Layer* layer_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------
// The region matrix

/// The region matrix of x: one row for each image and output position, one column for each (channel, kernel element).
/// `regions` is dense, (batch, positions, in_channels * kernel elements); the problem's `dtype`, `out_channels` and
/// `groups` are not used. Elements of any type, of 1, 2, 4, 8 or 16 bytes, are moved as they are; zeros are zero bytes.
FLATCONV_API Status im2col(const ConvProblem& problem, const ConstArray& x, void* regions, std::size_t element_bytes,
                           const Options& options = {}) noexcept;

/// The sizes of one image's region matrix; checks that all images' together have less than 2^63 bytes.
FLATCONV_API Status region_matrix_size(const ConvProblem& problem, std::size_t element_bytes, std::int64_t& rows,
                                       std::int64_t& columns) noexcept;

/// The adjoint of `im2col`: adds every element of the region matrix to the pixel that it came from, in the order of the
/// matrix's rows. `x` is overwritten. Halves are summed as float32, for at most 2^16 pixels (or a line of them, or a
/// plane) at a time, and rounded once.
FLATCONV_API Status col2im(const ConvProblem& problem, const void* regions, const Array& x,
                           const Options& options = {}) noexcept;

/// `im2col` with each image's matrix transposed: `regions` is (batch, in_channels * kernel elements, positions).
FLATCONV_API Status unfold(const ConvProblem& problem, const ConstArray& x, void* regions, std::size_t element_bytes,
                           const Options& options = {}) noexcept;

/// The adjoint of `unfold`. Each pixel sums its contributions in the order of the rows: by kernel element.
FLATCONV_API Status fold(const ConvProblem& problem, const void* regions, const Array& x,
                         const Options& options = {}) noexcept;

// ---------------------------------------------------------------------------------------------------------------
// Configuration

/// Threads for calls that do not say: FLATCONV_NUM_THREADS (0, and an error of these calls, if that is no number), else
/// OMP_NUM_THREADS, else the CPUs that this process may use, until `set_num_threads` says otherwise; 0: the default.
FLATCONV_API int get_num_threads() noexcept;
FLATCONV_API Status set_num_threads(int threads) noexcept;

/// One compiled instruction set ("portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "neon"), and its tile.
struct IsaInfo {
    const char* name;
    bool usable;                     // this CPU and operating system can run it
    int float32_rows, float32_cols;  // output channels, and output pixels, in a tile
    int float64_rows, float64_cols;
};

/// Every compiled instruction set, best first. Throws std::bad_alloc, alone of all functions here.
FLATCONV_API std::vector<IsaInfo> instruction_sets();

/// The instruction set in use: the one `set_isa` or the environment's FLATCONV_ISA names, else the best usable one.
/// Fails when FLATCONV_ISA names one that is unknown or unusable here; so does every call that computes.
FLATCONV_API Status get_isa(std::string& name) noexcept;

/// Chooses the instruction set for this process's further calls; "auto" chooses the best.
FLATCONV_API Status set_isa(const char* name) noexcept;

/// The most multiply-adds of the instruction set in use that one thread can do on registers alone, counted as two
/// operations each, per second. Measured now, in some 10 ms: the yardstick of benchmarks.
FLATCONV_API Status measure_peak(DType dtype, double& operations_per_second) noexcept;

/// The compiler and its version, e.g. "GCC 12.2.0".
FLATCONV_API const char* compiler() noexcept;

}  // namespace v0
}  // namespace flatconv

#endif
