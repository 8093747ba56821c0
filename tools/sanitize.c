/* SPDX-License-Identifier: MIT */
/*
 * Linked into our programs of sanitizer builds (make SANITIZE=...): options of the run-time libraries.
 * The environment's ASAN_OPTIONS and TSAN_OPTIONS come on top, where a program has an environment at
 * all: what runs inside a sandbox gets the caller's.
 */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

/*
 * The search for leaks traces its own process when that ends. Nothing traces what is confined, and the
 * program would end with an error of the search's own: an exit code that means something else to the
 * one who waits for it.
 */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

const char *__tsan_default_options(void)
{
	return "second_deadlock_stack=1:history_size=4";
}
