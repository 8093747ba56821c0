/* SPDX-License-Identifier: MIT */
/*
 * The signer role: holds one CA key per sandbox and issues leaf certificates of one fixed profile for
 * names and public keys that proxies show it (openshell/role.h). It signs nothing else.
 */
#ifndef OSH_TLS_SIGNER_H
#define OSH_TLS_SIGNER_H

#include <stdint.h>

/*
 * Above what a worker can use when its sandbox invents a name per connection, and a small part of what
 * would keep the signer from the others.
 */
enum { OSH_SIGNER_BURST = 16384, OSH_SIGNER_PER_S = 2048 };

/*
 * Body of the process, until the monitor goes. @take_dir_fd: folder of the key files, mode 0700,
 * in which the role can create, rename and remove. @burst, @per_s: certificates that one proxy gets
 * for one sandbox at once, and from then on; more are refused with -EDQUOT. Returns the exit code.
 */
int osh_signer_main(int take_monitor_fd, int take_dir_fd, uint32_t burst, uint32_t per_s);

/* System calls the role makes, by name; NULL-terminated. */
extern const char *const osh_signer_syscalls[];

#endif
