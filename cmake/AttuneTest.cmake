# How tests are added; every test carries one of the labels of `ctest -L`:
# lit, unit, numeric, e2e, errors, search, conformance, gpu.
find_program(ATTUNE_PYTHON NAMES python python3 HINTS ${CMAKE_SOURCE_DIR}/.venv/bin
  NO_DEFAULT_PATH DOC "Python with the packages of scripts/requirements.txt")

# attune_unit_test(<name> LINK libs... SOURCES files...): GoogleTest for pure C++
function(attune_unit_test name)
  cmake_parse_arguments(arg "" "" "LINK;SOURCES" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test/bin)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit)
endfunction()

# attune_python_test(<name> LABEL label [PATHS files...]): pytest on files of this folder.
# Where nothing of them can run, pytest ends with 5, and the test counts as skipped.
function(attune_python_test name)
  cmake_parse_arguments(arg "" "LABEL" "PATHS" ${ARGN})
  if(NOT ATTUNE_PYTHON)
    message(WARNING "test ${name} left out: no .venv/bin/python; run scripts/setup.sh or set ATTUNE_PYTHON")
    return()
  endif()
  add_test(NAME ${name}
    COMMAND ${ATTUNE_PYTHON} -m pytest -q -p no:cacheprovider ${arg_PATHS}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} SKIP_RETURN_CODE 5
    ENVIRONMENT "ATTUNE_BUILD=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_SOURCE_DIR}/test")
endfunction()
