# How all of our own code is compiled and linked: the numerical contract, visibility, warnings.

function(flatconv_compile_options target)
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON
  )
  target_compile_options(${target} PRIVATE
    # The bits are part of the API: a multiply and an add are fused where the source says so, and nowhere else.
    -ffp-contract=off
    # A project that embeds flatconv and names no build type gets the fast library too.
    $<$<NOT:$<OR:$<CONFIG:Debug>,$<CONFIG:MinSizeRel>>>:-O3>
    # Clang counts changes of sign among the conversions, GCC does not.
    -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow
    $<$<BOOL:${FLATCONV_WARNINGS_AS_ERRORS}>:-Werror>
    # No path of the machine that built it ends up in what is given away; debuggers keep theirs.
    $<$<CONFIG:Release>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}=flatconv>
  )
endfunction()

# For code that is words rather than numbers: small, because nobody waits for it, and the wheel holds it twice.
function(flatconv_prefer_small)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS $<$<NOT:$<CONFIG:Debug>>:-Os>)
endfunction()

# For code whose loops over elements are in kernels: a sixth smaller than with -O3, and no slower.
function(flatconv_prefer_compact)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS
    $<$<NOT:$<OR:$<CONFIG:Debug>,$<CONFIG:MinSizeRel>>>:-O2>
  )
endfunction()

# Exports what the version script lists. Hidden visibility alone leaves the standard library's templates visible.
function(flatconv_export_only target version_script)
  if(UNIX AND NOT APPLE)
    set(script ${PROJECT_SOURCE_DIR}/${version_script})
    target_link_options(${target} PRIVATE LINKER:--exclude-libs,ALL LINKER:--version-script=${script})
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${script})
  endif()
endfunction()
