# Installation and find_package(Attune). The headers that lie beside their sources and the
# generated ones merge into one include/attune/ tree.
include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Attune)

set_target_properties(AttuneBuild PROPERTIES EXPORT_NAME Build)
install(TARGETS AttuneBuild AttuneRuntime EXPORT AttuneRuntimeTargets)
install(EXPORT AttuneRuntimeTargets NAMESPACE Attune:: DESTINATION ${config_dir})
install(FILES runtime/artifact.h runtime/attune.h runtime/attune.hpp runtime/kernel_abi.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attune/runtime)

if(ATTUNE_BUILD_COMPILER)
  get_property(libs GLOBAL PROPERTY ATTUNE_COMPILER_LIBS)
  list(SORT libs)
  add_library(AttuneCompiler INTERFACE)
  target_link_libraries(AttuneCompiler INTERFACE ${libs})
  set_target_properties(AttuneCompiler PROPERTIES EXPORT_NAME Compiler)
  set_target_properties(AttuneLLVM PROPERTIES EXPORT_NAME LLVM)
  install(TARGETS AttuneCompiler AttuneLLVM ${libs} EXPORT AttuneCompilerTargets)
  install(EXPORT AttuneCompilerTargets NAMESPACE Attune:: DESTINATION ${config_dir})
  install(DIRECTORY dialect passes codegen frontend DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attune
    FILES_MATCHING PATTERN "*.h" PATTERN "*.td")
  install(DIRECTORY ${CMAKE_BINARY_DIR}/gen/attune/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attune
    FILES_MATCHING PATTERN "*.h.inc")
  if(ATTUNE_HALIDE)
    install(PROGRAMS ${ATTUNE_HALIDE_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
  get_property(tools DIRECTORY tools PROPERTY BUILDSYSTEM_TARGETS)
  foreach(tool ${tools})
    get_target_property(type ${tool} TYPE)
    if(type STREQUAL EXECUTABLE)
      set_target_properties(${tool} PROPERTIES
        INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${LLVM_LIBRARY_DIR}")
      install(TARGETS ${tool} RUNTIME)
    endif()
  endforeach()
endif()

configure_package_config_file(cmake/AttuneConfig.cmake.in ${CMAKE_BINARY_DIR}/AttuneConfig.cmake
  INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/AttuneConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/AttuneConfig.cmake ${CMAKE_BINARY_DIR}/AttuneConfigVersion.cmake
  DESTINATION ${config_dir})
