# What `cmake --install` installs, relocatable: headers, library, CMake package and .pc; under pip also the extension.
if(SKBUILD)
  # One place on every system, so that flatconv.get_cmake_dir() is right.
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/flatconv)

install(TARGETS flatconv
  EXPORT flatconvTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT flatconv_development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT flatconv_development
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT flatconv_development
)
install(DIRECTORY csrc/include/flatconv
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT flatconv_development
)
install(EXPORT flatconvTargets
  NAMESPACE flatconv::
  DESTINATION ${package_dir}
  COMPONENT flatconv_development
)

# What a linker that is not C++'s has to be told, in CMake's and in pkg-config's words.
set(cxx_runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER cxx_runtime INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|c\\+\\+abi|m)$")
list(REMOVE_DUPLICATES cxx_runtime)
list(TRANSFORM cxx_runtime PREPEND -l OUTPUT_VARIABLE private_libs)
list(JOIN private_libs " " private_libs)
string(PREPEND private_libs " -pthread ")
set(public_libs)
set(definitions)
if(library_type STREQUAL "STATIC_LIBRARY")
  # There is no shared library to choose, so nobody has to say --static.
  set(public_libs ${private_libs})
  set(private_libs)
  set(definitions " -DFLATCONV_STATIC")
else()
  set(cxx_runtime)
endif()

configure_package_config_file(cmake/flatconvConfig.cmake.in ${PROJECT_BINARY_DIR}/flatconvConfig.cmake
  INSTALL_DESTINATION ${package_dir}
)
# Before 1.0, a minor version may change the API.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/flatconvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/flatconvConfig.cmake ${PROJECT_BINARY_DIR}/flatconvConfigVersion.cmake
  DESTINATION ${package_dir}
  COMPONENT flatconv_development
)

set(pkgconfig_dir ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_here ${pkgconfig_dir} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_here "${prefix_from_here}")
file(RELATIVE_PATH libdir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH includedir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/flatconv.pc.in ${PROJECT_BINARY_DIR}/flatconv.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/flatconv.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT flatconv_development
)

if(SKBUILD AND FLATCONV_BUILD_PYTHON)
  install(TARGETS _core LIBRARY DESTINATION . COMPONENT flatconv_python)
endif()
