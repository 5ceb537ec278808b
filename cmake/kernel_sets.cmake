# The kernel sets of the target's architecture: one source file each, compiled with its own flags.
#
# FLATCONV_HAVE_<ISA> tells csrc/cpu/dispatch.cpp which sets there are. The CPU that compiles never matters: every set
# of the architecture is built, and the CPU that runs chooses.
include(CheckCXXSourceCompiles)

function(flatconv_target_has macro result)
  check_cxx_source_compiles("#ifndef ${macro}\n#error\n#endif\nint main() { return 0; }" ${result})
endfunction()

function(flatconv_add_kernel_set isa)
  set(source ${PROJECT_SOURCE_DIR}/csrc/kernels/kernels_${isa}.cpp)
  target_sources(flatconv PRIVATE ${source})
  # -O3 under every build type, because the accumulators must stay in registers even while the rest is debugged.
  # Nothing here reads errno or the floating-point flags. GCC's remarks on the ABI of wide vectors concern functions
  # that are called across files; these are not. Nothing throws, or is called back: no exception unwinds a kernel.
  set_property(SOURCE ${source} APPEND PROPERTY
    COMPILE_OPTIONS -O3 -fno-math-errno -fno-trapping-math -fno-exceptions -fno-asynchronous-unwind-tables -Wno-psabi
                    ${ARGN}
  )
  string(TOUPPER ${isa} name)
  target_compile_definitions(flatconv PRIVATE FLATCONV_HAVE_${name})
endfunction()

flatconv_target_has(__x86_64__ FLATCONV_TARGET_X86_64)
flatconv_target_has(__aarch64__ FLATCONV_TARGET_AARCH64)

# What only a CPU without the instructions of all other sets runs is small rather than fast.
set(fallback -O2)
if(FLATCONV_TARGET_X86_64)
  flatconv_add_kernel_set(portable ${fallback})
  flatconv_add_kernel_set(avx2 -mavx2 -mfma -mf16c)
  flatconv_add_kernel_set(avx512 -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mprefer-vector-width=512)
elseif(FLATCONV_TARGET_AARCH64)
  flatconv_add_kernel_set(portable ${fallback})
  flatconv_add_kernel_set(neon)
else()
  flatconv_add_kernel_set(portable)
endif()
