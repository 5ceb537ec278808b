// The worked example from C++: slides a 3×3 kernel over a 5×5 image, prints the result, returns nonzero if it is wrong.
#include <array>
#include <cstddef>
#include <cstdio>
#include <flatconv/flatconv.hpp>

int main() {
    const std::array<float, 25> image = {3, 3, 2, 1, 0,  //
                                         0, 0, 1, 3, 1,  //
                                         3, 1, 2, 2, 3,  //
                                         2, 0, 0, 2, 2,  //
                                         2, 0, 0, 0, 1};
    const std::array<float, 9> kernel = {0, 1, 2,  //
                                         2, 2, 0,  //
                                         0, 1, 2};
    const std::array<float, 9> expected = {12, 12, 17,  //
                                           10, 17, 19,  //
                                           9,  6,  14};
    std::array<float, 9> result{};

    flatconv::ConvProblem problem;
    problem.input = {1, 5, 5};
    problem.kernel = {1, 3, 3};
    const flatconv::Status status = flatconv::conv(problem, image.data(), kernel.data(), {}, result.data());
    if (!status) {
        std::fprintf(stderr, "%s\n", status.message.c_str());
        return 1;
    }
    for (std::size_t row = 0; row < 3; ++row) {
        std::printf("%g %g %g\n", double(result[3 * row]), double(result[3 * row + 1]), double(result[3 * row + 2]));
    }
    return result == expected ? 0 : 1;
}
