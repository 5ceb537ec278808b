// What the public entries share: how a failure becomes a Status.
#ifndef FLATCONV_CONV_STATUS_HPP
#define FLATCONV_CONV_STATUS_HPP

#include <flatconv/flatconv.hpp>

#include <exception>

#include "base/float_environment.hpp"

namespace flatconv {

/// The message for a FLATCONV_ISA that cannot be had.
Status unusable_isa();

/// Runs `body`, which returns a Status, in the default floating-point environment: plans are arithmetic too, and the
/// caller's flags are not theirs to raise. The standard library throws where memory or threads are out; nothing else
/// here throws at all.
template <typename Body>
Status guarded(const Body& body) noexcept {
    const DefaultFloatEnvironment environment;
    try {
        return body();
    } catch (const std::exception&) {
        // No message: a string could need the memory that there is not.
        return {StatusCode::out_of_memory, {}};
    }
}

}  // namespace flatconv

#endif
