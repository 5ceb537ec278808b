// The C ABI, flatconv/flatconv.h, over the C++ API: every function checks the C structs, converts them, and calls.
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

struct flatconv_plan {
    flatconv::ConvProblem problem;
    flatconv::capi::CallOptions options;
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

/// Runs `body`, which returns a Status. What throws is an allocation for a message, or for a plan.
template <typename Body>
flatconv_status* call(const Body& body) noexcept {
    try {
        return give(body());
    } catch (const std::exception&) {
        return out_of_memory;
    }
}

/// Runs body(problem, options) on what the C structs say.
template <typename Body>
flatconv_status* call_with(const flatconv_problem* c_problem, const flatconv_options* c_options,
                           const Body& body) noexcept {
    return call([&]() -> Status {
        ConvProblem problem;
        if (Status status = read_problem(c_problem, problem); !status) return status;
        CallOptions options;
        if (Status status = options.read(c_options); !status) return status;
        return body(problem, options);
    });
}

Status null_argument(const char* name) { return {StatusCode::invalid_argument, std::string(name) + " is null"}; }

Status run(const ConvProblem& problem, const flatconv_arrays* c_arrays, const CallOptions& options) {
    flatconv_arrays arrays;
    if (Status status = read_arrays(c_arrays, arrays); !status) return status;
    return conv(problem, {array(arrays.x), array(arrays.weight), array(arrays.bias)}, array(arrays.y), options.get());
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

void flatconv_options_init(flatconv_options* options, size_t struct_size) { write_defaults(options, struct_size); }

flatconv_status* flatconv_output_size(const flatconv_problem* problem, int64_t output[FLATCONV_MAX_SPATIAL_RANK]) {
    return call_with(problem, nullptr, [&](const ConvProblem& checked, const CallOptions&) -> Status {
        if (!output) return null_argument("output");
        Extent sizes{};
        Status status = output_size(checked, sizes);
        if (status) std::copy(sizes.begin(), sizes.end(), output);
        return status;
    });
}

flatconv_status* flatconv_conv(const flatconv_problem* problem, const flatconv_arrays* arrays,
                               const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const CallOptions& call_options) {
        return run(checked, arrays, call_options);
    });
}

flatconv_status* flatconv_workspace_bytes(const flatconv_problem* problem, size_t* bytes,
                                          const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const CallOptions& call_options) {
        return bytes ? workspace_bytes(checked, *bytes, call_options.get()) : null_argument("bytes");
    });
}

flatconv_status* flatconv_im2col(const flatconv_problem* problem, flatconv_const_array x, void* regions,
                                 size_t element_bytes, const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const CallOptions& call_options) {
        return im2col(checked, array(x), regions, element_bytes, call_options.get());
    });
}

flatconv_status* flatconv_region_matrix_size(const flatconv_problem* problem, size_t element_bytes, int64_t* rows,
                                             int64_t* columns) {
    return call_with(problem, nullptr, [&](const ConvProblem& checked, const CallOptions&) -> Status {
        if (!rows) return null_argument("rows");
        if (!columns) return null_argument("columns");
        return region_matrix_size(checked, element_bytes, *rows, *columns);
    });
}

flatconv_status* flatconv_col2im(const flatconv_problem* problem, const void* regions, flatconv_array x,
                                 const flatconv_options* options) {
    return call_with(problem, options, [&](const ConvProblem& checked, const CallOptions& call_options) {
        return col2im(checked, regions, array(x), call_options.get());
    });
}

flatconv_status* flatconv_plan_create(const flatconv_problem* problem, const flatconv_options* options,
                                      flatconv_plan** plan) {
    return call([&]() -> Status {
        if (!plan) return null_argument("plan");
        auto made = std::make_unique<flatconv_plan>();
        if (Status status = read_problem(problem, made->problem); !status) return status;
        if (Status status = made->options.read(options); !status) return status;
        std::size_t bytes = 0;
        if (Status status = workspace_bytes(made->problem, bytes, made->options.get()); !status) return status;
        *plan = made.release();
        return {};
    });
}

flatconv_status* flatconv_plan_run(const flatconv_plan* plan, const flatconv_arrays* arrays) {
    return call([&] { return plan ? run(plan->problem, arrays, plan->options) : null_argument("plan"); });
}

void flatconv_plan_free(flatconv_plan* plan) { delete plan; }

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
