// Runs a network that was exported from Python over a photograph: orientation PHOTO NETWORK RESULT [library|pool|tbb].
//
// PHOTO is anything that stb reads (JPEG, PNG, PPM, PGM), NETWORK the safetensors file that orientation.py writes.
// RESULT is a PNG, or with the ending .pfm the numbers themselves, which are those of Python to the bit.
#include <cstdio>
#include <exception>
#include <flatconv/flatconv.hpp>
#include <stdexcept>
#include <string>

#include "image.hpp"
#include "network.hpp"
#include "safetensors.hpp"
#include "thread_pool.hpp"
#ifdef HAVE_TBB
#include "tbb_executor.hpp"
#endif

namespace {

Image run(const Network& network, const Image& photo, const std::string& threads) {
    if (threads == "library") return network.run(photo, nullptr);
    if (threads == "pool") {
        examples::ThreadPool pool(3);
        examples::ThreadPoolExecutor executor(pool);
        return network.run(photo, &executor);
    }
#ifdef HAVE_TBB
    if (threads == "tbb") {
        examples::TbbExecutor executor;
        return network.run(photo, &executor);
    }
#endif
    throw std::invalid_argument("no such threads here: " + threads);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4 || argc > 5) {
        std::fprintf(stderr, "usage: %s PHOTO NETWORK RESULT [library|pool|tbb]\n", argv[0]);
        return 2;
    }
    try {
        const Network network(read_safetensors(argv[2]));
        const Image result = run(network, read_image(argv[1]), argc == 5 ? argv[4] : "library");
        write_image(result, argv[3]);
        std::printf("%s: %d channels of %d x %d pixels\n", argv[3], result.channels, result.height, result.width);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
