/* SPDX-License-Identifier: MIT */
#include "selftest/selftest.h"

/* The linker's names for the embedded file, see local.mk. */
extern const char _binary_openshell_probe_start[], _binary_openshell_probe_end[];

void osh_selftest_program(const void **ret_bytes, size_t *ret_n)
{
	*ret_bytes = _binary_openshell_probe_start;
	*ret_n = (size_t)(_binary_openshell_probe_end - _binary_openshell_probe_start);
}
