# One spelling of every include, in tree and installed: "attune/<folder>/<File>.h".
# The repository has no attune/ folder, so the build makes one.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include ${CMAKE_BINARY_DIR}/gen/attune)
file(CREATE_LINK ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/include/attune SYMBOLIC)

add_library(AttuneBuild INTERFACE)
target_include_directories(AttuneBuild INTERFACE
  $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include> $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/gen>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_options(AttuneBuild INTERFACE
  $<BUILD_INTERFACE:-Wall;-Wextra;-Wno-unused-parameter>)
if(ATTUNE_SANITIZE)
  add_compile_options(-fsanitize=${ATTUNE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ATTUNE_SANITIZE})
endif()

find_program(ATTUNE_CCACHE ccache)
if(ATTUNE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need the sloppiness; see ccache(1), "Precompiled headers".
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${ATTUNE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
