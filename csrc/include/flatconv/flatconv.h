/* The C ABI of flatconv, for C and for every language that can call C. The C++ API, flatconv.hpp, says what each call
 * computes; this page says how to make it.
 *
 *     flatconv_problem problem;
 *     flatconv_problem_init(&problem, sizeof problem);
 *     problem.input[1] = problem.input[2] = 5;
 *     problem.kernel[1] = problem.kernel[2] = 3;
 *     flatconv_arrays arrays = {.struct_size = sizeof arrays, .x = {image}, .weight = {kernel}, .y = {result}};
 *     flatconv_status* status = flatconv_conv(&problem, &arrays, NULL);
 *     if (status) fputs(flatconv_status_message(status), stderr);
 *     flatconv_status_free(status);
 *
 * Every call that can fail returns a status, NULL where all went well. Structs begin with their size, so that they can
 * grow: a library takes those of an older header, and gives what they lack its default value; those of a newer one it
 * refuses. Enumerations are passed as int32_t. All functions are thread-safe, and nothing is thread-local: a call and
 * the reading of its status may happen on different threads.
 */
#ifndef FLATCONV_FLATCONV_H
#define FLATCONV_FLATCONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) || defined(FLATCONV_STATIC)
#define FLATCONV_API
#else
#define FLATCONV_API __attribute__((visibility("default")))
#endif

#define FLATCONV_MUST_USE __attribute__((warn_unused_result))

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, such as "0.1.0", and its compiler's. */
FLATCONV_API const char* flatconv_version(void);
FLATCONV_API const char* flatconv_compiler(void);

/* ---------------------------------------------------------------------------------------------------------------------
 * Errors
 */

enum { /* flatconv_status_code */
       FLATCONV_OK = 0,
       FLATCONV_INVALID_ARGUMENT = 1,
       FLATCONV_SIZE_OVERFLOW = 2,
       FLATCONV_OUT_OF_MEMORY = 3,
       FLATCONV_CANCELLED = 4
};

/* What a call came to: NULL if all went well, else to be freed by the caller. */
typedef struct flatconv_status flatconv_status;

/* The code and the message of a status; FLATCONV_OK and "" of NULL. The message lives as long as the status. */
FLATCONV_API int32_t flatconv_status_code(const flatconv_status* status);
FLATCONV_API const char* flatconv_status_message(const flatconv_status* status);
FLATCONV_API void flatconv_status_free(flatconv_status* status);

/* ---------------------------------------------------------------------------------------------------------------------
 * Problems, arrays, options
 */

enum { FLATCONV_MAX_SPATIAL_RANK = 3 };

enum { /* dtype */
       FLATCONV_FLOAT32 = 0,
       FLATCONV_FLOAT64 = 1,
       FLATCONV_FLOAT16 = 2,
       FLATCONV_BFLOAT16 = 3,
       FLATCONV_COMPLEX64 = 4, /* pairs of (real part, imaginary part), as C's own */
       FLATCONV_COMPLEX128 = 5
};

enum { /* padding */
       FLATCONV_PADDING_AMOUNTS = 0,
       FLATCONV_PADDING_VALID = 1,
       FLATCONV_PADDING_SAME = 2,
       FLATCONV_PADDING_SAME_LOWER = 3,
       FLATCONV_PADDING_FULL = 4
};

enum { /* padding_mode */
       FLATCONV_MODE_ZEROS = 0,
       FLATCONV_MODE_REFLECT = 1,
       FLATCONV_MODE_REPLICATE = 2,
       FLATCONV_MODE_CIRCULAR = 3,
       FLATCONV_MODE_SYMMETRIC = 4
};

enum { /* activation.kind */
       FLATCONV_ACTIVATION_NONE = 0,
       FLATCONV_ACTIVATION_RELU = 1,
       FLATCONV_ACTIVATION_RELU6 = 2,
       FLATCONV_ACTIVATION_CLIP = 3,
       FLATCONV_ACTIVATION_LEAKY_RELU = 4,
       FLATCONV_ACTIVATION_SIGMOID = 5,
       FLATCONV_ACTIVATION_TANH = 6,
       FLATCONV_ACTIVATION_SILU = 7,
       FLATCONV_ACTIVATION_GELU = 8,
       FLATCONV_ACTIVATION_HARDSWISH = 9
};

enum { /* algorithm */
       FLATCONV_ALGORITHM_AUTOMATIC = 0,
       FLATCONV_ALGORITHM_REFERENCE = 1,
       FLATCONV_ALGORITHM_IM2COL = 2,
       FLATCONV_ALGORITHM_IMPLICIT = 3,
       FLATCONV_ALGORITHM_CHANNELS = 4,
       FLATCONV_ALGORITHM_DIRECT = 5
};

enum { /* operation */
       FLATCONV_OPERATION_CONV = 0,
       FLATCONV_OPERATION_INPUT_GRADIENT = 1,
       FLATCONV_OPERATION_WEIGHT_GRADIENT = 2,
       FLATCONV_OPERATION_CONV_INTEGER = 3,
       FLATCONV_OPERATION_QLINEAR_CONV = 4
};

enum { /* byte type */
       FLATCONV_INT8 = 0,
       FLATCONV_UINT8 = 1
};

/* What becomes of each output, last of all: for CLIP, `a` is the least and `b` the most; for LEAKY_RELU, `a` is the
   slope below zero. */
typedef struct flatconv_activation {
    int32_t kind;
    double a;
    double b;
} flatconv_activation;

/* A convolution, or the transpose of one, without its arrays. Sizes by axis are (depth, height, width); a lower rank
 * uses the last ones. */
typedef struct flatconv_problem {
    size_t struct_size;
    int32_t dtype;
    int32_t spatial_rank;
    int64_t batch;
    int64_t in_channels;
    int64_t out_channels;
    int64_t groups;
    int64_t input[FLATCONV_MAX_SPATIAL_RANK];
    int64_t kernel[FLATCONV_MAX_SPATIAL_RANK];
    int64_t stride[FLATCONV_MAX_SPATIAL_RANK];
    int64_t dilation[FLATCONV_MAX_SPATIAL_RANK];
    int32_t padding;
    int32_t padding_mode;
    int64_t pad_before[FLATCONV_MAX_SPATIAL_RANK];
    int64_t pad_after[FLATCONV_MAX_SPATIAL_RANK];
    flatconv_activation activation;
    int32_t transposed; /* not 0: the transpose; weight is then (in_channels, out_channels / groups, kernel...) */
    int64_t output_padding[FLATCONV_MAX_SPATIAL_RANK]; /* of transposed problems */
} flatconv_problem;

/* Gives every field its default value: float32, two spatial axes, no padding, no activation, not transposed, and 1 for
 * every number else. Pass sizeof(flatconv_problem). */
FLATCONV_API void flatconv_problem_init(flatconv_problem* problem, size_t struct_size);

/* `byte_strides` is NULL for a dense row-major array, else five distances in bytes: (batch, channel, depth, height,
 * width), or (out, in, depth, height, width) for weights; a bias uses the first. With channels last, a dense image has
 * the distances (H * W * C * size, size, 0, W * C * size, C * size). */
typedef struct flatconv_const_array {
    const void* data;
    const int64_t* byte_strides;
} flatconv_const_array;

typedef struct flatconv_array {
    void* data;
    const int64_t* byte_strides;
} flatconv_array;

/* The arrays of a convolution: x (batch, in_channels, input...), weight (out_channels, in_channels / groups,
 * kernel...), bias (out_channels) or null, y (batch, out_channels, output...), which is written, and residual, of y's
 * shape, or null. */
typedef struct flatconv_arrays {
    size_t struct_size;
    flatconv_const_array x;
    flatconv_const_array weight;
    flatconv_const_array bias;
    flatconv_array y;
    flatconv_const_array residual;
} flatconv_arrays;

/* Makes every array null. Pass sizeof(flatconv_arrays). */
FLATCONV_API void flatconv_arrays_init(flatconv_arrays* arrays, size_t struct_size);

/* The application's own threads. */
typedef struct flatconv_executor {
    void* self; /* passed to both functions */

    /* How many participants can run at the same time; more are never asked for. */
    int (*concurrency)(void* self);

    /* Calls body(context, i) once for each i in [0, participants), on any threads, and returns when all have. */
    void (*run)(void* self, int participants, void (*body)(void* context, int participant), void* context);
} flatconv_executor;

typedef struct flatconv_options {
    size_t struct_size;
    int32_t threads; /* at most so many; 0: the executor's concurrency, without one flatconv_get_num_threads() */
    int32_t algorithm;
    size_t workspace_limit;            /* in bytes, for all threads together */
    const flatconv_executor* executor; /* NULL: the library's own threads */
    double work_per_thread;            /* in multiply-adds: a call with less for each thread uses fewer threads */

    /* Asked now and then, on the calling thread alone: true ends the call early with FLATCONV_CANCELLED. */
    bool (*should_stop)(void* context);
    void* stop_context;

    /* Memory to work in, at any address, of the size that the workspace_bytes functions tell; NULL: calls allocate. */
    void* workspace;
    size_t workspace_bytes;
} flatconv_options;

/* Gives every field its default value. Pass sizeof(flatconv_options). Wherever options are asked for, NULL stands for
 * the defaults. */
FLATCONV_API void flatconv_options_init(flatconv_options* options, size_t struct_size);

/* ---------------------------------------------------------------------------------------------------------------------
 * Running
 */

/* Checks the problem and gives the output's spatial sizes. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_output_size(const flatconv_problem* problem,
                                                                     int64_t output[FLATCONV_MAX_SPATIAL_RANK]);

/* y = activation(convolution of x with weight + bias + residual). */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_conv(const flatconv_problem* problem,
                                                              const flatconv_arrays* arrays,
                                                              const flatconv_options* options);

/* dx = gradient with respect to x of a scalar function of y, whose gradient with respect to y is dy. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_conv_input_gradient(const flatconv_problem* problem,
                                                                             flatconv_const_array dy,
                                                                             flatconv_const_array weight,
                                                                             flatconv_array dx,
                                                                             const flatconv_options* options);

/* dweight = gradient with respect to weight. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_conv_weight_gradient(const flatconv_problem* problem,
                                                                              flatconv_const_array x,
                                                                              flatconv_const_array dy,
                                                                              flatconv_array dweight,
                                                                              const flatconv_options* options);

/* The arrays of a convolution of bytes, each with the number that stands for 0 in it. */
typedef struct flatconv_byte_arrays {
    size_t struct_size;
    flatconv_const_array x;
    flatconv_const_array weight;
    int32_t x_type; /* FLATCONV_INT8 or FLATCONV_UINT8 */
    int32_t weight_type;
    int32_t x_zero_point;                    /* a number of x's type; padding holds it */
    flatconv_const_array weight_zero_points; /* int32_t, one for each output channel, or null: 0 */
    flatconv_array y;
} flatconv_byte_arrays;

/* How sums become bytes again. */
typedef struct flatconv_requantization {
    size_t struct_size;
    float x_scale;
    flatconv_const_array weight_scales; /* float, one for each output channel, or null: 1 */
    float y_scale;
    int32_t y_zero_point; /* a number of y's type */
    int32_t y_type;
    flatconv_const_array bias; /* int32_t, one for each output channel, or null */
} flatconv_requantization;

/* Gives every field its default value: no arrays, uint8 but for the weights, which are int8, zero points of 0, scales
 * of 1. Pass the struct's size. */
FLATCONV_API void flatconv_byte_arrays_init(flatconv_byte_arrays* arrays, size_t struct_size);
FLATCONV_API void flatconv_requantization_init(flatconv_requantization* requantization, size_t struct_size);

/* y = convolution of (x - x_zero_point) with (weight - weight_zero_points), exact modulo 2^32, in int32_t: ONNX's
 * ConvInteger. Of the problem, dtype is not used; it has no activation, is not transposed, and padded with zeros. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_conv_integer(const flatconv_problem* problem,
                                                                      const flatconv_byte_arrays* arrays,
                                                                      const flatconv_options* options);

/* The same, + bias, as bytes: ONNX's QLinearConv. With scale = x_scale * weight_scale / y_scale, all in float,
 * y = saturate(round_half_even((float)(sum + bias) * scale) + y_zero_point). */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_qlinear_conv(const flatconv_problem* problem,
                                                                      const flatconv_byte_arrays* arrays,
                                                                      const flatconv_requantization* requantization,
                                                                      const flatconv_options* options);

/* The most memory that such an operation works in, when the arrays are dense and aligned. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_workspace_bytes(const flatconv_problem* problem,
                                                                         int32_t operation, size_t* bytes,
                                                                         const flatconv_options* options);

/* ---------------------------------------------------------------------------------------------------------------------
 * Packed layers
 */

/* The opaque plan of a layer that is called many times: its weights are packed once, and what can be decided for a
 * shape of x is decided once. Calls may run at the same time. */
typedef struct flatconv_packed_conv flatconv_packed_conv;

/* The problem's batch and input do not matter here. Weights and bias, which may be null, are copied. `*packed` is
 * replaced, and to be freed, unless this fails or is stopped. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_packed_conv_create(const flatconv_problem* problem,
                                                                            flatconv_const_array weight,
                                                                            flatconv_const_array bias,
                                                                            flatconv_packed_conv** packed,
                                                                            const flatconv_options* options);
FLATCONV_API void flatconv_packed_conv_free(flatconv_packed_conv* packed);

/* y = activation(convolution of x + bias + residual). The arrays' weight and bias are null. For a shape that it has
 * seen, and with a workspace, a call allocates nothing. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_packed_conv_run(const flatconv_packed_conv* packed,
                                                                         int64_t batch,
                                                                         const int64_t input[FLATCONV_MAX_SPATIAL_RANK],
                                                                         const flatconv_arrays* arrays,
                                                                         const flatconv_options* options);

/* As flatconv_workspace_bytes. The arrays' x and y give distances other than dense ones, and may point nowhere; NULL:
 * all are dense. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_packed_conv_workspace_bytes(
    const flatconv_packed_conv* packed, int64_t batch, const int64_t input[FLATCONV_MAX_SPATIAL_RANK],
    const flatconv_arrays* arrays, size_t* bytes, const flatconv_options* options);

/* How such a call would be computed, and why not otherwise: as much of it as fits `capacity`, with a 0 at the end.
 * Where `length` is not NULL it becomes that of the whole, as in snprintf. The arrays count as above. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_packed_conv_explain(
    const flatconv_packed_conv* packed, int64_t batch, const int64_t input[FLATCONV_MAX_SPATIAL_RANK],
    const flatconv_arrays* arrays, char* text, size_t capacity, size_t* length, const flatconv_options* options);

/* ---------------------------------------------------------------------------------------------------------------------
 * The region matrix
 */

/* The sizes of one image's region matrix. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_region_matrix_size(const flatconv_problem* problem,
                                                                            size_t element_bytes, int64_t* rows,
                                                                            int64_t* columns);

/* The region matrix of x, `regions`: dense, (batch, positions, in_channels * kernel elements). */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_im2col(const flatconv_problem* problem, flatconv_const_array x,
                                                                void* regions, size_t element_bytes,
                                                                const flatconv_options* options);

/* The adjoint of flatconv_im2col: every pixel of x becomes the sum of its copies in `regions`. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_col2im(const flatconv_problem* problem, const void* regions,
                                                                flatconv_array x, const flatconv_options* options);

/* The same two with each image's matrix transposed: (batch, in_channels * kernel elements, positions). */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_unfold(const flatconv_problem* problem, flatconv_const_array x,
                                                                void* regions, size_t element_bytes,
                                                                const flatconv_options* options);
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_fold(const flatconv_problem* problem, const void* regions,
                                                              flatconv_array x, const flatconv_options* options);

/* ---------------------------------------------------------------------------------------------------------------------
 * Configuration, of the whole process
 */

/* Threads for calls that do not say: FLATCONV_NUM_THREADS (0, and an error of these calls, if that is no number), else
 * OMP_NUM_THREADS, else the CPUs that this process may use. 0 goes back to this default. */
FLATCONV_API int32_t flatconv_get_num_threads(void);
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_set_num_threads(int32_t threads);

/* The instruction set in use, as a string that is never freed; "auto" chooses the best. */
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_get_isa(const char** name);
FLATCONV_API FLATCONV_MUST_USE flatconv_status* flatconv_set_isa(const char* name);

/* The instruction sets that this CPU can run, best first: index 0, 1, ... until NULL. */
FLATCONV_API const char* flatconv_usable_isa(int32_t index);

#ifdef __cplusplus
}
#endif

#endif
