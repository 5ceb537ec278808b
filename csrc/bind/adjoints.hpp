// Transposed convolutions and gradients as Python calls them; module.cpp registers them.
#ifndef FLATCONV_BIND_ADJOINTS_HPP
#define FLATCONV_BIND_ADJOINTS_HPP

#include "bind/arrays.hpp"

namespace flatconv::bind {

void register_adjoints(py::module_& module);

}  // namespace flatconv::bind

#endif
