/* SPDX-License-Identifier: MIT */
#include "sandbox/init.h"

int main(int argc, char **argv)
{
	/* Outside of a new pid namespace there is nothing to be init of. */
	return osh_init_is_role(argc, argv) ? osh_init_main() : 2;
}
