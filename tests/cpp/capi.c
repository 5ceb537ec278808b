/* The C ABI from C99: the worked example, packed and with an executor of its own too, and an error. Returns how many
 * checks failed. */
#include <flatconv/flatconv.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            ++failures;                                                     \
        }                                                                   \
    } while (0)

static void check_ok(flatconv_status* status) {
    CHECK(flatconv_status_code(status) == FLATCONV_OK);
    if (status) fprintf(stderr, "%s\n", flatconv_status_message(status));
    flatconv_status_free(status);
}

static int two(void* self) {
    (void)self;
    return 2;
}

static void run_in_turn(void* self, int participants, void (*body)(void*, int), void* context) {
    ++*(int*)self;
    for (int i = 0; i < participants; ++i) body(context, i);
}

static bool always(void* context) {
    (void)context;
    return true;
}

int main(void) {
    static const float image[25] = {3, 3, 2, 1, 0, 0, 0, 1, 3, 1, 3, 1, 2, 2, 3, 2, 0, 0, 2, 2, 2, 0, 0, 0, 1};
    static const float kernel[9] = {0, 1, 2, 2, 2, 0, 0, 1, 2};
    static const float expected[9] = {12, 12, 17, 10, 17, 19, 9, 6, 14};
    float result[9] = {0};

    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof problem);
    problem.input[1] = problem.input[2] = 5;
    problem.kernel[1] = problem.kernel[2] = 3;
    const flatconv_arrays arrays = {
        .struct_size = sizeof arrays, .x = {.data = image}, .weight = {.data = kernel}, .y = {.data = result}};
    check_ok(flatconv_conv(&problem, &arrays, NULL));
    CHECK(memcmp(result, expected, sizeof expected) == 0);

    int calls = 0;
    const flatconv_executor executor = {.self = &calls, .concurrency = two, .run = run_in_turn};
    flatconv_options options;
    flatconv_options_init(&options, sizeof options);
    options.executor = &executor;
    options.work_per_thread = 0;
    options.should_stop = always;
    const flatconv_const_array weight = {.data = kernel};
    flatconv_packed_conv* packed = NULL;
    check_ok(flatconv_packed_conv_create(&problem, weight, (flatconv_const_array){NULL, NULL}, &packed, NULL));
    flatconv_arrays packed_arrays = arrays;
    packed_arrays.weight.data = NULL;
    check_ok(flatconv_packed_conv_run(packed, 0, problem.input, &packed_arrays, &options));
    CHECK(calls == 0);

    options.should_stop = NULL;
    memset(result, 0, sizeof result);
    check_ok(flatconv_packed_conv_run(packed, 1, problem.input, &packed_arrays, &options));
    CHECK(memcmp(result, expected, sizeof expected) == 0);
    flatconv_packed_conv_free(packed);

    problem.kernel[1] = 6;
    flatconv_status* status = flatconv_conv(&problem, &arrays, NULL);
    CHECK(flatconv_status_code(status) == FLATCONV_INVALID_ARGUMENT);
    CHECK(strstr(flatconv_status_message(status), "kernel (6 \xc3\x97 3) does not fit") != NULL);
    flatconv_status_free(status);
    return failures;
}
