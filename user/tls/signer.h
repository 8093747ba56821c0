/* SPDX-License-Identifier: MIT */
/*
 * The signer role: holds one CA key per sandbox and issues leaf certificates of one fixed profile for
 * names and public keys that proxies show it (openshell/role.h). It signs nothing else.
 */
#ifndef OSH_TLS_SIGNER_H
#define OSH_TLS_SIGNER_H

/*
 * Body of the process, until the monitor goes. @take_dir_fd: folder of the key files, mode 0700,
 * in which the role can create, rename and remove. @confine (may be NULL) is called before READY.
 * Returns the exit code.
 */
int osh_signer_main(int take_monitor_fd, int take_dir_fd);

/* System calls the role makes, by name; NULL-terminated. */
extern const char *const osh_signer_syscalls[];

#endif
