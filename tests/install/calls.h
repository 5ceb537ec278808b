/* The file of calls that test_same_bits.py writes, and the file of outcomes that it reads, for both consumers.
 *
 * A call is `struct call_header`, then the bytes of its arrays in the header's order, each array from a multiple of 8.
 * An outcome is a status code, a number of bytes, and so many bytes: the result, or the message. */
#ifndef REPLAY_CALLS_H
#define REPLAY_CALLS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONV, INPUT_GRADIENT, WEIGHT_GRADIENT, PACKED, IM2COL, COL2IM, UNFOLD, FOLD, CONV_INTEGER, QLINEAR_CONV };

struct call_header {
    int64_t operation, algorithm, threads, workspace_limit;
    int64_t dtype, spatial_rank, batch, in_channels, out_channels, groups;
    int64_t input[3], kernel[3], stride[3], dilation[3];
    int64_t padding, pad_before[3], pad_after[3], padding_mode;
    int64_t transposed, output_padding[3];
    int64_t activation;
    double activation_a, activation_b;
    int64_t x_type, weight_type, y_type, x_zero_point, y_zero_point; /* of bytes */
    double x_scale, y_scale;
    int64_t element_bytes;
    int64_t array_bytes[5]; /* what the operation reads, in its order; 0 for none */
    int64_t result_bytes;
};

struct call {
    struct call_header header;
    const void* arrays[5];
    void* result;
};

/* The bytes of a file, to be freed; a reason to stop where there is none. */
static inline char* read_file(const char* path, size_t* size) {
    FILE* const file = fopen(path, "rb");
    char* bytes = NULL;
    *size = 0;
    if (file) {
        fseek(file, 0, SEEK_END);
        *size = (size_t)ftell(file);
        rewind(file);
        bytes = (char*)malloc(*size);
        if (bytes && fread(bytes, 1, *size, file) != *size) *size = 0;
        fclose(file);
    }
    if (*size == 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    return bytes;
}

/* The call that begins at `from`, with a result full of bytes that no result has; returns where the next one begins. */
static inline const char* read_call(const char* from, struct call* call) {
    memcpy(&call->header, from, sizeof call->header);
    from += sizeof call->header;
    for (int i = 0; i < 5; ++i) {
        const int64_t bytes = call->header.array_bytes[i];
        call->arrays[i] = bytes ? from : NULL;
        from += (bytes + 7) / 8 * 8;
    }
    call->result = malloc((size_t)call->header.result_bytes + 1);
    if (!call->result) exit(2);
    memset(call->result, 0xFF, (size_t)call->header.result_bytes);
    return from;
}

/* Frees the result, too. */
static inline void write_outcome(FILE* file, const struct call* call, int64_t code, const char* message) {
    const int64_t head[2] = {code, code ? (int64_t)strlen(message) : call->header.result_bytes};
    fwrite(head, sizeof head, 1, file);
    fwrite(code ? (const void*)message : call->result, 1, (size_t)head[1], file);
    free(call->result);
}

#endif
