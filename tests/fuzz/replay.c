/* SPDX-License-Identifier: MIT */
/*
 * Usage: replay_<name> FILE...
 * Runs the target once on each file: the corpora as regression tests, with any compiler. Prints the
 * number of files; a failing check aborts.
 */
#include "fuzz.h"

#include "base/buf.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	unsigned int n = 0;

	for (int i = 1; i < argc; i++) {
		osh_auto_bufmem struct osh_buf buf;
		osh_auto_close int fd = open(argv[i], O_RDONLY | O_CLOEXEC);

		osh_buf_init(&buf, 16u << 20, 0);
		if (fd < 0 || osh_buf_read_all(&buf, fd) < 0) {
			fprintf(stderr, "%s: cannot read\n", argv[i]);
			return 1;
		}
		fprintf(stderr, "%s\n", argv[i]);
		(void)LLVMFuzzerTestOneInput((const uint8_t *)osh_buf_str(&buf).p, buf.len);
		n++;
	}
	printf("%u\n", n);
	return n ? 0 : 1;
}
