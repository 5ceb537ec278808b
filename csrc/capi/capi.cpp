// The C ABI, flatconv/flatconv.h, over the C++ API: every function checks the C structs, converts them, and calls. A
// new operation is a declaration there and a function here; a new field of a struct is a line or two in convert.cpp.
#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "capi/convert.hpp"

struct flatconv_status {
    flatconv::Status status;
};

struct flatconv_packed_conv {
    flatconv::PackedConv layer;
};

namespace flatconv::capi {

namespace {

/// A status that needs no memory, because there may be none, nor a constructor: only its address counts.
char out_of_memory_address;
flatconv_status* const out_of_memory = reinterpret_cast<flatconv_status*>(&out_of_memory_address);

flatconv_status* give(Status&& status) {
    if (status) return nullptr;
    if (status.code == StatusCode::out_of_memory && status.message.empty()) return out_of_memory;
    return new flatconv_status{std::move(status)};
}

/// Runs `body`, which returns a Status. What throws is an allocation for a message, or for a layer.
template <typename Body>
flatconv_status* call(const Body& body) noexcept {
    try {
        return give(body());
    } catch (const std::exception&) {
        return out_of_memory;
    }
}

Status null_argument(const char* name) { return {StatusCode::invalid_argument, std::string(name) + " is null"}; }

/// Runs body(problem, options) on what the C structs say: every operation on a problem.
template <typename Body>
flatconv_status* call_with(const flatconv_problem* c_problem, const flatconv_options* c_options,
                           const Body& body) noexcept {
    return call([&]() -> Status {
        ConvProblem problem;
        if (Status status = read_problem(c_problem, problem); !status) return status;
        CallOptions options;
        if (Status status = options.read(c_options); !status) return status;
        return body(problem, options.get());
    });
}

/// Runs body(layer, input, options): every operation on a packed layer.
template <typename Body>
flatconv_status* call_packed(const flatconv_packed_conv* packed, const std::int64_t* c_input,
                             const flatconv_options* c_options, const Body& body) noexcept {
    return call([&]() -> Status {
        if (!packed) return null_argument("packed");
        if (!c_input) return null_argument("input");
        CallOptions options;
        if (Status status = options.read(c_options); !status) return status;
        return body(packed->layer, extent(c_input), options.get());
    });
}

}  // namespace

}  // namespace flatconv::capi

using namespace flatconv;
using namespace flatconv::capi;

const char* flatconv_version(void) { return FLATCONV_VERSION_STRING; }

const char* flatconv_compiler(void) { return compiler(); }

int32_t flatconv_status_code(const flatconv_status* status) {
    if (status == out_of_memory) return FLATCONV_OUT_OF_MEMORY;
    return status ? static_cast<int32_t>(status->status.code) : FLATCONV_OK;
}

const char* flatconv_status_message(const flatconv_status* status) {
    if (status == out_of_memory) return "out of memory";
    return status ? status->status.message.c_str() : "";
}

void flatconv_status_free(flatconv_status* status) {
    if (status != out_of_memory) delete status;
}

void flatconv_problem_init(flatconv_problem* problem, size_t struct_size) { write_defaults(problem, struct_size); }

void flatconv_arrays_init(flatconv_arrays* arrays, size_t struct_size) { write_defaults(arrays, struct_size); }

void flatconv_byte_arrays_init(flatconv_byte_arrays* arrays, size_t struct_size) {
    write_defaults(arrays, struct_size);
}

void flatconv_requantization_init(flatconv_requantization* requantization, size_t struct_size) {
    write_defaults(requantization, struct_size);
}

void flatconv_options_init(flatconv_options* options, size_t struct_size) { write_defaults(options, struct_size); }

flatconv_status* flatconv_output_size(const flatconv_problem* problem, int64_t output[FLATCONV_MAX_SPATIAL_RANK]) {
    return call_with(problem, nullptr, [&](const ConvProblem& checked, const Options&) -> Status {
        if (!output) return null_argument("output");
        Extent sizes{};
        Status status = output_size(checked, sizes);
        if (status) std::copy(sizes.begin(), sizes.end(), output);
        return status;
    });
}

flatconv_status* flatconv_conv(const flatconv_problem* problem, const flatconv_arrays* arrays,
                               const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        flatconv_arrays given;
        if (Status status = read_arrays(arrays, given); !status) return status;
        return conv(checked, {array(given.x), array(given.weight), array(given.bias), array(given.residual)},
                    array(given.y), call_options);
    });
}

flatconv_status* flatconv_conv_input_gradient(const flatconv_problem* problem, flatconv_const_array dy,
                                              flatconv_const_array weight, flatconv_array dx,
                                              const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return conv_input_gradient(checked, array(dy), array(weight), array(dx), call_options);
    });
}

flatconv_status* flatconv_conv_weight_gradient(const flatconv_problem* problem, flatconv_const_array x,
                                               flatconv_const_array dy, flatconv_array dweight,
                                               const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return conv_weight_gradient(checked, array(x), array(dy), array(dweight), call_options);
    });
}

flatconv_status* flatconv_conv_integer(const flatconv_problem* problem, const flatconv_byte_arrays* arrays,
                                       const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        ByteInputs inputs;
        Array y;
        if (Status status = read_byte_arrays(arrays, inputs, y); !status) return status;
        return conv_integer(checked, inputs, y, call_options);
    });
}

flatconv_status* flatconv_qlinear_conv(const flatconv_problem* problem, const flatconv_byte_arrays* arrays,
                                       const flatconv_requantization* requantization, const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        ByteInputs inputs;
        Array y;
        Requantization to_bytes;
        if (Status status = read_byte_arrays(arrays, inputs, y); !status) return status;
        if (Status status = read_requantization(requantization, to_bytes); !status) return status;
        return qlinear_conv(checked, inputs, to_bytes, y, call_options);
    });
}

flatconv_status* flatconv_workspace_bytes(const flatconv_problem* problem, int32_t operation, size_t* bytes,
                                          const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        if (!bytes) return null_argument("bytes");
        Operation known{};
        if (Status status = read_operation(operation, known); !status) return status;
        return workspace_bytes(checked, *bytes, call_options, known);
    });
}

flatconv_status* flatconv_packed_conv_create(const flatconv_problem* problem, flatconv_const_array weight,
                                             flatconv_const_array bias, flatconv_packed_conv** packed,
                                             const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        if (!packed) return null_argument("packed");
        auto made = std::make_unique<flatconv_packed_conv>();
        Status status = PackedConv::pack(checked, array(weight), array(bias), made->layer, call_options);
        if (status) *packed = made.release();
        return status;
    });
}

void flatconv_packed_conv_free(flatconv_packed_conv* packed) { delete packed; }

flatconv_status* flatconv_packed_conv_run(const flatconv_packed_conv* packed, int64_t batch,
                                          const int64_t input[FLATCONV_MAX_SPATIAL_RANK], const flatconv_arrays* arrays,
                                          const flatconv_options* options) {
    return call_packed(packed, input, options,
                       [&](const PackedConv& layer, const Extent& sizes, const Options& call_options) -> Status {
                           flatconv_arrays given;
                           if (Status status = read_arrays(arrays, given); !status) return status;
                           if (given.weight.data || given.bias.data) {
                               return {StatusCode::invalid_argument,
                                       "arrays.weight and arrays.bias must be null: the layer has its own, packed"};
                           }
                           return layer.run(batch, sizes, array(given.x), array(given.y), array(given.residual),
                                            call_options);
                       });
}

flatconv_status* flatconv_packed_conv_workspace_bytes(const flatconv_packed_conv* packed, int64_t batch,
                                                      const int64_t input[FLATCONV_MAX_SPATIAL_RANK],
                                                      const flatconv_arrays* arrays, size_t* bytes,
                                                      const flatconv_options* options) {
    return call_packed(packed, input, options,
                       [&](const PackedConv& layer, const Extent& sizes, const Options& call_options) -> Status {
                           if (!bytes) return null_argument("bytes");
                           flatconv_arrays given;
                           if (Status status = read_strides(arrays, given); !status) return status;
                           return layer.workspace_bytes(batch, sizes, *bytes, call_options, array(given.x),
                                                        array(given.y));
                       });
}

flatconv_status* flatconv_packed_conv_explain(const flatconv_packed_conv* packed, int64_t batch,
                                              const int64_t input[FLATCONV_MAX_SPATIAL_RANK],
                                              const flatconv_arrays* arrays, char* text, size_t capacity,
                                              size_t* length, const flatconv_options* options) {
    return call_packed(packed, input, options,
                       [&](const PackedConv& layer, const Extent& sizes, const Options& call_options) -> Status {
                           if (!text && capacity > 0) return null_argument("text");
                           flatconv_arrays given;
                           if (Status status = read_strides(arrays, given); !status) return status;
                           std::string whole;
                           Status status =
                               layer.explain(batch, sizes, whole, call_options, array(given.x), array(given.y));
                           if (!status) return status;
                           if (length) *length = whole.size();
                           if (capacity > 0) text[whole.copy(text, capacity - 1)] = '\0';
                           return status;
                       });
}

flatconv_status* flatconv_region_matrix_size(const flatconv_problem* problem, size_t element_bytes, int64_t* rows,
                                             int64_t* columns) {
    return call_with(problem, nullptr, [&](const ConvProblem& checked, const Options&) -> Status {
        if (!rows) return null_argument("rows");
        if (!columns) return null_argument("columns");
        return region_matrix_size(checked, element_bytes, *rows, *columns);
    });
}

flatconv_status* flatconv_im2col(const flatconv_problem* problem, flatconv_const_array x, void* regions,
                                 size_t element_bytes, const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return im2col(checked, array(x), regions, element_bytes, call_options);
    });
}

flatconv_status* flatconv_col2im(const flatconv_problem* problem, const void* regions, flatconv_array x,
                                 const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return col2im(checked, regions, array(x), call_options);
    });
}

flatconv_status* flatconv_unfold(const flatconv_problem* problem, flatconv_const_array x, void* regions,
                                 size_t element_bytes, const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return unfold(checked, array(x), regions, element_bytes, call_options);
    });
}

flatconv_status* flatconv_fold(const flatconv_problem* problem, const void* regions, flatconv_array x,
                               const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const Options& call_options) {
        return fold(checked, regions, array(x), call_options);
    });
}

int32_t flatconv_get_num_threads(void) { return get_num_threads(); }

flatconv_status* flatconv_set_num_threads(int32_t threads) {
    return call([&] { return set_num_threads(threads); });
}

flatconv_status* flatconv_get_isa(const char** name) {
    return call([&]() -> Status {
        if (!name) return null_argument("name");
        std::string in_use;
        Status status = get_isa(in_use);
        for (const IsaInfo& info : instruction_sets()) {
            if (status && in_use == info.name) *name = info.name;
        }
        return status;
    });
}

flatconv_status* flatconv_set_isa(const char* name) {
    return call([&] { return set_isa(name); });
}

const char* flatconv_usable_isa(int32_t index) {
    try {
        for (const IsaInfo& info : instruction_sets()) {
            if (info.usable && index-- == 0) return info.name;
        }
    } catch (const std::exception&) {
        return nullptr;
    }
    return nullptr;
}
