# A static library whose only global symbols are the API: its objects are linked into one, and all others made local.
#
# An archive has no version script, and hidden visibility leaves symbols global until the final link: the internals could
# clash with those of another library in the same program, or be replaced by them.
include(CheckLinkerFlag)

# Whether the target's objects are machine code and no more, with nothing that a final link still has to do for them.
function(flatconv_has_plain_objects target result)
  get_directory_property(options COMPILE_OPTIONS)
  set(flags ${CMAKE_CXX_FLAGS} ${options})
  set(plain ON)
  foreach(suffix IN ITEMS "" _DEBUG _RELEASE _RELWITHDEBINFO _MINSIZEREL)
    get_target_property(link_time_optimized ${target} INTERPROCEDURAL_OPTIMIZATION${suffix})
    list(APPEND flags ${CMAKE_CXX_FLAGS${suffix}})
    if(link_time_optimized OR flags MATCHES "-flto|-fsanitize|-fprofile|--coverage")
      set(plain OFF)
    endif()
  endforeach()
  set(${result} ${plain} PARENT_SCOPE)
endfunction()

# Replaces the rule by which the calling directory makes static libraries. Where the tools cannot do it (GNU's linker
# and any objcopy can), and under link-time optimization or instrumentation, the library stays an ordinary archive.
function(flatconv_export_only_static target symbols)
  if(NOT CMAKE_EXECUTABLE_FORMAT STREQUAL "ELF" OR NOT CMAKE_OBJCOPY)
    return()
  endif()
  # A COMDAT group that stayed one could lose to the application's copy, and leave what refers to our local symbols
  # undefined.
  check_linker_flag(CXX LINKER:--force-group-allocation FLATCONV_LINKER_DISSOLVES_GROUPS)
  flatconv_has_plain_objects(${target} plain_objects)
  if(FLATCONV_LINKER_DISSOLVES_GROUPS AND plain_objects)
    set(symbols ${PROJECT_SOURCE_DIR}/${symbols})
    # Of static libraries CMake does not look at LINK_DEPENDS: a new list compiles one source again instead.
    get_target_property(sources ${target} SOURCES)
    list(GET sources 0 source)
    set_property(SOURCE ${source} APPEND PROPERTY OBJECT_DEPENDS ${symbols})
    # objcopy cannot make a unique symbol local.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    string(CONCAT names_to_leave_out
      "--strip-unneeded-symbol=\"*\" --keep-symbols=\"${symbols}\" "
      "--keep-symbol=\"*_tile*\" --keep-symbol=\"*convolve_*\""
    )
    set(CMAKE_CXX_CREATE_STATIC_LIBRARY
      "<CMAKE_CXX_COMPILER> ${CMAKE_CXX_FLAGS} -r -nostdlib -Wl,--force-group-allocation -o <TARGET>.o <OBJECTS>"
      "\"${CMAKE_OBJCOPY}\" --wildcard --keep-global-symbols=\"${symbols}\" <TARGET>.o"
      # The names of what is local now are a twelfth of the library: those of the innermost loops stay, for profilers, and
      # so does debugging information where there is any. (At --discard-all, LLVM's objcopy fails where a relocation names
      # what is local.)
      "\"${CMAKE_OBJCOPY}\" --wildcard ${names_to_leave_out} <TARGET>.o"
      "\"${CMAKE_COMMAND}\" -E rm -f <TARGET>"
      "\"${CMAKE_AR}\" qc <TARGET> <TARGET>.o"
      "\"${CMAKE_RANLIB}\" <TARGET>"
      "\"${CMAKE_COMMAND}\" -E rm -f <TARGET>.o"
      PARENT_SCOPE
    )
  endif()
endfunction()
