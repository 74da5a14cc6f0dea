//===- Portable.h - A function that the host and PTX compute alike ----------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_TESTS_PORTABLE_H
#define ATTUNE_TEST_PTXEMU_TESTS_PORTABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C"
#endif
    uint64_t portable(uint32_t i);

#endif
