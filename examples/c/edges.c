/* Finds the edges of a photograph with Sobel's two filters: edges PHOTO RESULT.png. */
#include <flatconv/flatconv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

/* Reports a status that is not NULL; returns whether it was NULL. */
static bool succeeded(flatconv_status* status) {
    if (!status) return true;
    fprintf(stderr, "%s\n", flatconv_status_message(status));
    flatconv_status_free(status);
    return false;
}

/* Both gradients of a grey image, one after the other: one convolution from one channel to two. */
static bool gradients(const float* image, int height, int width, float* result) {
    static const float kernels[2][3][3] = {{{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}}, {{-1, -2, -1}, {0, 0, 0}, {1, 2, 1}}};
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof problem);
    problem.out_channels = 2;
    problem.input[1] = height, problem.input[2] = width;
    problem.kernel[1] = problem.kernel[2] = 3;
    problem.padding = FLATCONV_PADDING_SAME;
    problem.padding_mode = FLATCONV_MODE_REPLICATE;
    const flatconv_arrays arrays = {
        .struct_size = sizeof arrays, .x = {.data = image}, .weight = {.data = kernels}, .y = {.data = result}};
    return succeeded(flatconv_conv(&problem, &arrays, NULL));
}

static bool find_edges(unsigned char* photo, int height, int width, const char* path) {
    const size_t pixels = (size_t)height * (size_t)width;
    float* image = malloc(pixels * sizeof *image);
    float* result = malloc(2 * pixels * sizeof *result);
    bool good = image && result;
    if (good) {
        for (size_t i = 0; i < pixels; ++i) image[i] = photo[i];
        good = gradients(image, height, width, result);
    }
    if (good) {
        for (size_t i = 0; i < pixels; ++i) {
            const float strength = (fabsf(result[i]) + fabsf(result[pixels + i])) / 4;
            photo[i] = (unsigned char)fminf(strength, 255);
        }
        good = stbi_write_png(path, width, height, 1, photo, width) != 0;
        if (!good) fprintf(stderr, "%s: cannot be written\n", path);
    }
    free(result);
    free(image);
    return good;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s PHOTO RESULT.png\n", argv[0]);
        return 2;
    }
    int width, height, channels;
    unsigned char* photo = stbi_load(argv[1], &width, &height, &channels, 1);
    if (!photo) {
        fprintf(stderr, "%s: %s\n", argv[1], stbi_failure_reason());
        return 1;
    }
    const bool good = find_edges(photo, height, width, argv[2]);
    stbi_image_free(photo);
    return good ? 0 : 1;
}
