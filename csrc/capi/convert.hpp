// The C structs of flatconv/flatconv.h, checked and converted to those of the C++ API; called by capi.cpp.
#ifndef FLATCONV_CAPI_CONVERT_HPP
#define FLATCONV_CAPI_CONVERT_HPP

#include <flatconv/flatconv.h>
#include <flatconv/flatconv.hpp>

#include <cstddef>

namespace flatconv::capi {

/// The application's threads behind a C executor.
class ExecutorAdapter final : public Executor {
  public:
    void set(const flatconv_executor& executor) noexcept { executor_ = &executor; }

    int concurrency() const noexcept override { return executor_->concurrency(executor_->self); }

    void run(int participants, void (*body)(void* context, int participant), void* context) noexcept override {
        executor_->run(executor_->self, participants, body, context);
    }

  private:
    const flatconv_executor* executor_ = nullptr;
};

/// Options, and the executor that they may refer to; stays where it is.
class CallOptions {
  public:
    CallOptions() = default;
    CallOptions(const CallOptions&) = delete;
    CallOptions& operator=(const CallOptions&) = delete;

    /// Null stands for the defaults.
    Status read(const flatconv_options* c_options);

    const Options& get() const noexcept { return options_; }

  private:
    Options options_;
    ExecutorAdapter executor_;
};

Status read_problem(const flatconv_problem* c_problem, ConvProblem& problem);

/// Gives the fields that the caller's header does not have their default, null.
Status read_arrays(const flatconv_arrays* c_arrays, flatconv_arrays& arrays);

/// The same where only distances count: null stands for dense arrays.
Status read_strides(const flatconv_arrays* c_arrays, flatconv_arrays& arrays);

Status read_byte_arrays(const flatconv_byte_arrays* c_arrays, ByteInputs& inputs, Array& y);
Status read_requantization(const flatconv_requantization* c_requantization, Requantization& requantization);

Status read_operation(std::int32_t c_operation, Operation& operation);

Extent extent(const std::int64_t* sizes) noexcept;
ConstArray array(const flatconv_const_array& c_array) noexcept;
Array array(const flatconv_array& c_array) noexcept;

/// The defaults, in as many bytes as the caller's struct has; those that no field of ours fills are zero.
void write_defaults(flatconv_problem* problem, std::size_t struct_size) noexcept;
void write_defaults(flatconv_arrays* arrays, std::size_t struct_size) noexcept;
void write_defaults(flatconv_byte_arrays* arrays, std::size_t struct_size) noexcept;
void write_defaults(flatconv_requantization* requantization, std::size_t struct_size) noexcept;
void write_defaults(flatconv_options* options, std::size_t struct_size) noexcept;

}  // namespace flatconv::capi

#endif
