/* SPDX-License-Identifier: MIT */
/*
 * Limits and timeouts of the configuration, one at a time: set by its key, met, and answered as
 * openshelld.conf(5) says. The others keep their defaults, which are longer than a test waits for
 * anything; so what ends is ended by the key under test. No time is measured.
 */
#ifndef OSH_TESTS_WIRE_KEY_H
#define OSH_TESTS_WIRE_KEY_H

#include "harness.h"

enum { GOT_MAX = 1 << 16 };

/* A program is keys_begin(), tests (each from begin() to end()), keys_end(). */
extern struct harness *h;
extern char got[GOT_MAX]; /* what hear() heard */
extern int origin_fd; /* listens where the names of begin() lead */
extern uint16_t origin_port; /* its port */
extern const char get[], ok[]; /* a request for plain.test, a response with the body "ok" */

void keys_begin(void);
int keys_end(void); /* prints the counts; the program's exit status */
void check(bool passes, const char *what);
/*
 * Roles with the @limits and @timeouts (JSON members) and @more top-level members; @what is the key under
 * test, for messages.
 */
void begin(const char *what, const char *limits, const char *timeouts, const char *more);
void end(void);

/* ---- a client; descriptors are the caller's ---- */

int conn(void); /* once it was accepted: the flow record is this connection's */
int plain(void); /* the same, transparent to plain.test:80 */
int by_connect(const char *host, const char *port); /* CONNECT was sent */
void say(int fd, const char *text);
void say_hello(int fd, const char *name); /* a ClientHello and nothing more */
SSL *client_tls(int fd, const char *name); /* for SSL_connect(); verifies nothing */
/* Read until @until (NULL: the end) is there. false: not within the harness's patience. */
bool hear(int fd, const char *until);
/*
 * The connection ends with this answer ("": without one) that has @text (or NULL), and with an event of
 * @reason (-1: whatever). Closes @fd.
 */
void ends(int fd, const char *status, const char *text, int reason);
void says(const char *detail); /* an event of a timeout says so */

/* ---- the origin ---- */

int origin(void); /* the proxy's connection; its request was read */
/* One exchange; both connections stay. *o: the origin's end, -1: none yet. */
void exchange_of(int fd, int *o, const char *request);
void exchange(int fd, int *o);
/* A port where connections hang: nobody accepts, and the queue is full. Ended by unfill(). */
int full_port(int family, uint16_t *ret_port, int fill[4]);
void unfill(int fd, const int fill[4]);

/* ---- DNS ---- */

int dns_ask(const char *name); /* a UDP socket that has asked the proxy for A of @name */
int dns_code(int fd); /* RCODE of the answer, -1: none; closes @fd */

#endif
