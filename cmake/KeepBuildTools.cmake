# Copies Cython, cython-cmake's module and ninja from pip's temporary build environment into the build directory, and
# makes this build use the copies. Nothing is copied twice: once the environment is gone, the copies are what is left.
set(TOOLS "${CMAKE_CURRENT_BINARY_DIR}/tools")

if(NOT EXISTS "${TOOLS}/complete")
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import Cython, os; print(os.path.dirname(os.path.dirname(Cython.__file__)))"
    OUTPUT_VARIABLE CYTHON_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  file(COPY "${CYTHON_ROOT}/Cython" "${CYTHON_ROOT}/cython.py" DESTINATION "${TOOLS}" PATTERN "__pycache__" EXCLUDE)
  find_file(USE_CYTHON UseCython.cmake PATHS ${CMAKE_MODULE_PATH} NO_DEFAULT_PATH NO_CACHE REQUIRED)
  file(COPY "${USE_CYTHON}" DESTINATION "${TOOLS}")
  file(COPY "${CMAKE_MAKE_PROGRAM}" DESTINATION "${TOOLS}" FOLLOW_SYMLINK_CHAIN)
  file(TOUCH "${TOOLS}/complete")
endif()

list(PREPEND CMAKE_MODULE_PATH "${TOOLS}")
set(CYTHON_EXECUTABLE "${CMAKE_COMMAND}" -E env "PYTHONPATH=${TOOLS}" "${Python_EXECUTABLE}" -m cython)
cmake_path(GET CMAKE_MAKE_PROGRAM FILENAME MAKE_PROGRAM_NAME)
set(CMAKE_MAKE_PROGRAM "${TOOLS}/${MAKE_PROGRAM_NAME}" CACHE FILEPATH "The build program, kept for later builds" FORCE)
