/* Repeats a file of calls through the C ABI: replay_c CALLS OUTCOMES. */
#include <flatconv/flatconv.h>

#include "calls.h"

static flatconv_problem problem_of(const struct call_header* header) {
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof problem);
    problem.dtype = (int32_t)header->dtype;
    problem.spatial_rank = (int32_t)header->spatial_rank;
    problem.batch = header->batch;
    problem.in_channels = header->in_channels;
    problem.out_channels = header->out_channels;
    problem.groups = header->groups;
    problem.padding = (int32_t)header->padding;
    problem.padding_mode = (int32_t)header->padding_mode;
    problem.transposed = (int32_t)header->transposed;
    for (int axis = 0; axis < 3; ++axis) {
        problem.input[axis] = header->input[axis];
        problem.kernel[axis] = header->kernel[axis];
        problem.stride[axis] = header->stride[axis];
        problem.dilation[axis] = header->dilation[axis];
        problem.pad_before[axis] = header->pad_before[axis];
        problem.pad_after[axis] = header->pad_after[axis];
        problem.output_padding[axis] = header->output_padding[axis];
    }
    problem.activation.kind = (int32_t)header->activation;
    problem.activation.a = header->activation_a;
    problem.activation.b = header->activation_b;
    return problem;
}

static flatconv_status* run_on_bytes(const flatconv_problem* problem, const struct call* call,
                                     const flatconv_options* options) {
    const struct call_header* const header = &call->header;
    flatconv_byte_arrays arrays;
    flatconv_byte_arrays_init(&arrays, sizeof arrays);
    arrays.x.data = call->arrays[0];
    arrays.weight.data = call->arrays[1];
    arrays.weight_zero_points.data = call->arrays[2];
    arrays.y.data = call->result;
    arrays.x_type = (int32_t)header->x_type;
    arrays.weight_type = (int32_t)header->weight_type;
    arrays.x_zero_point = (int32_t)header->x_zero_point;
    if (header->operation == CONV_INTEGER) return flatconv_conv_integer(problem, &arrays, options);
    flatconv_requantization requantization;
    flatconv_requantization_init(&requantization, sizeof requantization);
    requantization.x_scale = (float)header->x_scale;
    requantization.y_scale = (float)header->y_scale;
    requantization.y_zero_point = (int32_t)header->y_zero_point;
    requantization.y_type = (int32_t)header->y_type;
    requantization.weight_scales.data = call->arrays[3];
    requantization.bias.data = call->arrays[4];
    return flatconv_qlinear_conv(problem, &arrays, &requantization, options);
}

static flatconv_status* run(const struct call* call) {
    const struct call_header* const header = &call->header;
    const flatconv_problem problem = problem_of(header);
    const size_t element_bytes = (size_t)header->element_bytes;
    flatconv_options options;
    flatconv_options_init(&options, sizeof options);
    options.algorithm = (int32_t)header->algorithm;
    options.threads = (int32_t)header->threads;
    options.work_per_thread = 0;
    if (header->workspace_limit >= 0) options.workspace_limit = (size_t)header->workspace_limit;
    const flatconv_const_array a = {.data = call->arrays[0]}, b = {.data = call->arrays[1]};
    const flatconv_const_array bias = {.data = call->arrays[2]}, residual = {.data = call->arrays[3]};
    const flatconv_array result = {.data = call->result};
    flatconv_arrays arrays;
    flatconv_arrays_init(&arrays, sizeof arrays);
    arrays.x = a;
    arrays.residual = residual;
    arrays.y = result;
    switch (header->operation) {
        case CONV:
            arrays.weight = b;
            arrays.bias = bias;
            return flatconv_conv(&problem, &arrays, &options);
        case INPUT_GRADIENT: return flatconv_conv_input_gradient(&problem, a, b, result, &options);
        case WEIGHT_GRADIENT: return flatconv_conv_weight_gradient(&problem, a, b, result, &options);
        case IM2COL: return flatconv_im2col(&problem, a, result.data, element_bytes, &options);
        case COL2IM: return flatconv_col2im(&problem, a.data, result, &options);
        case UNFOLD: return flatconv_unfold(&problem, a, result.data, element_bytes, &options);
        case FOLD: return flatconv_fold(&problem, a.data, result, &options);
        case CONV_INTEGER:
        case QLINEAR_CONV: return run_on_bytes(&problem, call, &options);
        default: break;
    }
    flatconv_packed_conv* packed = NULL;
    flatconv_status* status = flatconv_packed_conv_create(&problem, b, bias, &packed, NULL);
    if (!status) status = flatconv_packed_conv_run(packed, problem.batch, problem.input, &arrays, &options);
    flatconv_packed_conv_free(packed);
    return status;
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    size_t size = 0;
    char* const calls = read_file(argv[1], &size);
    FILE* const outcomes = fopen(argv[2], "wb");
    if (!outcomes) return 2;
    for (const char* at = calls; at < calls + size;) {
        struct call call;
        at = read_call(at, &call);
        flatconv_status* const status = run(&call);
        write_outcome(outcomes, &call, flatconv_status_code(status), flatconv_status_message(status));
        flatconv_status_free(status);
    }
    free(calls);
    return fclose(outcomes);
}
