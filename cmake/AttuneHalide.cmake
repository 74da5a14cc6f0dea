# Halide 21 from its Python wheel (scripts/setup.sh installs it into .venv). The wheel's own CMake
# config wants a newer CMake than Debian 12 has, so the imported target is made here.
option(ATTUNE_HALIDE "Build the Halide back end" ON)
if(ATTUNE_HALIDE)
  if(NOT ATTUNE_HALIDE_ROOT)
    file(GLOB roots ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/halide)
    set(ATTUNE_HALIDE_ROOT "${roots}" CACHE PATH "Folder with Halide's include and lib64" FORCE)
  endif()
  find_path(ATTUNE_HALIDE_INCLUDE Halide.h PATHS ${ATTUNE_HALIDE_ROOT}/include NO_DEFAULT_PATH)
  find_library(ATTUNE_HALIDE_LIBRARY Halide NO_DEFAULT_PATH
    PATHS ${ATTUNE_HALIDE_ROOT}/lib64 ${ATTUNE_HALIDE_ROOT}/lib)
  if(NOT ATTUNE_HALIDE_INCLUDE OR NOT ATTUNE_HALIDE_LIBRARY)
    message(FATAL_ERROR "Halide 21 not found: run scripts/setup.sh, set ATTUNE_HALIDE_ROOT, or "
      "leave it out with -DATTUNE_HALIDE=OFF")
  endif()
  file(STRINGS ${ATTUNE_HALIDE_INCLUDE}/Halide.h version REGEX "define HALIDE_VERSION_MAJOR 21$")
  if(NOT version)
    message(FATAL_ERROR "expected Halide 21 in ${ATTUNE_HALIDE_ROOT}")
  endif()
  add_library(Halide::Halide SHARED IMPORTED)
  set_target_properties(Halide::Halide PROPERTIES IMPORTED_LOCATION ${ATTUNE_HALIDE_LIBRARY}
    IMPORTED_SONAME libHalide.so INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${ATTUNE_HALIDE_INCLUDE}
    INTERFACE_INCLUDE_DIRECTORIES ${ATTUNE_HALIDE_INCLUDE})
endif()
