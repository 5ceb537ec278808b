/* Finds the edges of photographs with Sobel's two filters: edges PHOTO RESULT [PHOTO RESULT]...
 *
 * RESULT is a PNG, or with the ending .pfm the numbers themselves, which are those of Python to the bit. */
#include <flatconv/flatconv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Sobel's two filters as one convolution from one channel to two, packed once for images of any size. */
static flatconv_packed_conv* pack_filters(void) {
    static const float kernels[2][3][3] = {{{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}}, {{-1, -2, -1}, {0, 0, 0}, {1, 2, 1}}};
    flatconv_problem problem;
    flatconv_problem_init(&problem, sizeof problem);
    problem.out_channels = 2;
    problem.kernel[1] = problem.kernel[2] = 3;
    problem.padding = FLATCONV_PADDING_SAME;
    problem.padding_mode = FLATCONV_MODE_REPLICATE;
    const flatconv_const_array weight = {.data = kernels}, no_bias = {.data = NULL};
    flatconv_packed_conv* filters = NULL;
    return succeeded(flatconv_packed_conv_create(&problem, weight, no_bias, &filters, NULL)) ? filters : NULL;
}

/* Both gradients of a grey image, one after the other. */
static bool gradients(const flatconv_packed_conv* filters, const float* image, int height, int width, float* result) {
    const int64_t size[3] = {1, height, width};
    const flatconv_arrays arrays = {.struct_size = sizeof arrays, .x = {.data = image}, .y = {.data = result}};
    return succeeded(flatconv_packed_conv_run(filters, 1, size, &arrays, NULL));
}

/* Writes numbers as they are: a grey PFM, whose rows go from bottom to top. */
static bool write_numbers(const float* values, int height, int width, const char* path) {
    FILE* file = fopen(path, "wb");
    if (!file) return false;
    bool good = fprintf(file, "Pf\n%d %d\n-1.0\n", width, height) > 0;
    for (int row = height - 1; good && row >= 0; --row) {
        good = fwrite(values + (size_t)row * (size_t)width, sizeof *values, (size_t)width, file) == (size_t)width;
    }
    return fclose(file) == 0 && good;
}

static bool write_picture(const float* values, int height, int width, const char* path) {
    const size_t pixels = (size_t)height * (size_t)width;
    unsigned char* picture = malloc(pixels);
    if (!picture) return false;
    for (size_t i = 0; i < pixels; ++i) picture[i] = (unsigned char)fminf(values[i], 255);
    const bool good = stbi_write_png(path, width, height, 1, picture, width) != 0;
    free(picture);
    return good;
}

static bool write_edges(const flatconv_packed_conv* filters, const unsigned char* photo, int height, int width,
                        const char* path) {
    const size_t pixels = (size_t)height * (size_t)width;
    float* image = malloc(pixels * sizeof *image);
    float* result = malloc(2 * pixels * sizeof *result);
    bool good = image && result;
    if (good) {
        for (size_t i = 0; i < pixels; ++i) image[i] = photo[i];
        good = gradients(filters, image, height, width, result);
    }
    if (good) {
        for (size_t i = 0; i < pixels; ++i) image[i] = (fabsf(result[i]) + fabsf(result[pixels + i])) / 4;
        const char* ending = strrchr(path, '.');
        const bool numbers = ending && strcmp(ending, ".pfm") == 0;
        good = (numbers ? write_numbers : write_picture)(image, height, width, path);
        if (!good) fprintf(stderr, "%s: cannot be written\n", path);
    }
    free(result);
    free(image);
    return good;
}

static bool find_edges(const flatconv_packed_conv* filters, const char* photo_path, const char* result_path) {
    int width, height, channels;
    unsigned char* photo = stbi_load(photo_path, &width, &height, &channels, 1);
    if (!photo) {
        fprintf(stderr, "%s: %s\n", photo_path, stbi_failure_reason());
        return false;
    }
    const bool good = write_edges(filters, photo, height, width, result_path);
    stbi_image_free(photo);
    return good;
}

int main(int argc, char** argv) {
    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: %s PHOTO RESULT [PHOTO RESULT]...\n", argv[0]);
        return 2;
    }
    flatconv_packed_conv* filters = pack_filters();
    bool good = filters != NULL;
    for (int i = 1; good && i < argc; i += 2) good = find_edges(filters, argv[i], argv[i + 1]);
    flatconv_packed_conv_free(filters);
    return good ? 0 : 1;
}
