// What the tests of the C ABI share.
#ifndef FLATCONV_TESTS_CAPI_CALLS_HPP
#define FLATCONV_TESTS_CAPI_CALLS_HPP

#include <flatconv/flatconv.h>

#include <cstdint>
#include <string>

namespace flatconv::tests {

/// What a call came to, freed.
struct Outcome {
    std::int32_t code;
    std::string message;

    Outcome(flatconv_status* status) : code(flatconv_status_code(status)), message(flatconv_status_message(status)) {
        flatconv_status_free(status);
    }
    bool operator==(const Outcome& other) const { return code == other.code && message == other.message; }
};

}  // namespace flatconv::tests

#endif
