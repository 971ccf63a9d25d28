/* SPDX-License-Identifier: BSD-2-Clause */
/* A fuzz target: libFuzzer calls it, and so does tests/fuzz/driver.c where there is no libFuzzer.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
