# What `cmake --install` installs, relocatable: header, library and CMake package; under pip also the extension.
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

if(SKBUILD AND FLATCONV_BUILD_PYTHON)
  install(TARGETS _core LIBRARY DESTINATION . COMPONENT flatconv_python)
endif()
