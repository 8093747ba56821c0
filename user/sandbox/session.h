/* SPDX-License-Identifier: MIT */
/* Init's service: programs started on request, their terminals, their ends. */
#ifndef OSH_SANDBOX_SESSION_H
#define OSH_SANDBOX_SESSION_H

/* Serve the listening socket until the sandbox dies; returns only on an error of our own. */
int osh_session_serve(int listen_fd);

#endif
