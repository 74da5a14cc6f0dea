# LLVM and MLIR 22 from the distribution: shared libMLIR and libLLVM, RTTI on.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
if(NOT NVPTX IN_LIST LLVM_TARGETS_TO_BUILD)
  message(FATAL_ERROR "LLVM ${LLVM_VERSION} was built without its NVPTX target, which --target=cuda needs")
endif()
set(MLIR_TABLEGEN_EXE ${LLVM_TOOLS_BINARY_DIR}/mlir-tblgen)
separate_arguments(ATTUNE_LLVM_DEFINITIONS NATIVE_COMMAND ${LLVM_DEFINITIONS})
foreach(type EXE SHARED MODULE)
  set(CMAKE_${type}_LINKER_FLAGS "${CMAKE_${type}_LINKER_FLAGS} -fuse-ld=lld")
endforeach()

add_library(AttuneLLVM INTERFACE)
target_include_directories(AttuneLLVM SYSTEM INTERFACE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
target_compile_definitions(AttuneLLVM INTERFACE ${ATTUNE_LLVM_DEFINITIONS})
target_link_libraries(AttuneLLVM INTERFACE AttuneBuild MLIR LLVM)

if(ATTUNE_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/gen/pch.cpp "")
  add_library(AttunePch OBJECT ${CMAKE_BINARY_DIR}/gen/pch.cpp)
  target_link_libraries(AttunePch PUBLIC AttuneLLVM)
  set_target_properties(AttunePch PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(AttunePch PRIVATE -fPIC -Xclang -fno-pch-timestamp)
  target_precompile_headers(AttunePch PRIVATE
    <mlir/Dialect/Arith/IR/Arith.h>
    <mlir/Dialect/Func/IR/FuncOps.h>
    <mlir/Dialect/Linalg/IR/Linalg.h>
    <mlir/Dialect/Math/IR/Math.h>
    <mlir/Dialect/MemRef/IR/MemRef.h>
    <mlir/Dialect/SCF/IR/SCF.h>
    <mlir/Dialect/Tensor/IR/Tensor.h>
    <mlir/Dialect/Vector/IR/VectorOps.h>
    <mlir/IR/PatternMatch.h>
    <mlir/Pass/Pass.h>
    <mlir/Transforms/GreedyPatternRewriteDriver.h>
    <map> <string> <vector> <optional> <functional>)
endif()

# attune_llvm_library(<name> [DEPENDS targets...] [LINK libs...] SOURCES files...)
function(attune_llvm_library name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LINK;SOURCES" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC AttuneLLVM ${arg_LINK})
  if(arg_DEPENDS)
    add_dependencies(${name} ${arg_DEPENDS})
  endif()
  attune_use_pch(${name})
  string(REPLACE "Attune" "" short ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${short})
  set_property(GLOBAL APPEND PROPERTY ATTUNE_COMPILER_LIBS ${name})
endfunction()

# A precompiled header demands identical code-generation flags, executables included (-fPIC).
function(attune_use_pch name)
  if(ATTUNE_PCH)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
    target_compile_options(${name} PRIVATE -Xclang -fno-pch-timestamp)
    target_precompile_headers(${name} REUSE_FROM AttunePch)
  endif()
endfunction()

# attune_tablegen(<out> <td> <mlir-tblgen flags...>) writes gen/attune/<folder>/<out>
function(attune_tablegen out td)
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(file ${CMAKE_BINARY_DIR}/gen/attune/${folder}/${out})
  get_filename_component(dir ${file} DIRECTORY)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(OUTPUT ${file}
    COMMAND ${MLIR_TABLEGEN_EXE} ${ARGN} -I ${MLIR_INCLUDE_DIRS} -I ${CMAKE_BINARY_DIR}/include
            ${CMAKE_CURRENT_SOURCE_DIR}/${td} -o ${file} --write-if-changed -d ${file}.d
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${td} DEPFILE ${file}.d VERBATIM)
  set_property(DIRECTORY APPEND PROPERTY ATTUNE_GENERATED ${file})
endfunction()

# attune_tablegen_target(<name>): one target for everything generated in this folder
function(attune_tablegen_target name)
  get_property(files DIRECTORY PROPERTY ATTUNE_GENERATED)
  add_custom_target(${name} DEPENDS ${files})
endfunction()
