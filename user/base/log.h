/* SPDX-License-Identifier: MIT */
/*
 * Operators' log: free text, one line per event, to stderr. With JOURNAL_STREAM set, lines carry
 * the "<N>" priority prefix of sd-daemon(3); otherwise a UTC timestamp. Role files and the CLI log;
 * library modules return errors instead. Evidence goes to audit/, never here. Outside data goes
 * through OSH_Q().
 */
#ifndef OSH_BASE_LOG_H
#define OSH_BASE_LOG_H

#include "base/str.h"

enum osh_log_level { /* syslog(3) priorities */
		     OSH_LOG_ERR = 3,
		     OSH_LOG_WARN = 4,
		     OSH_LOG_NOTICE = 5,
		     OSH_LOG_INFO = 6,
		     OSH_LOG_DEBUG = 7,
};

/* @role is kept, not copied; printed in front of each line. Default level: info. */
void osh_log_init(const char *role, enum osh_log_level max_level);

void osh_log_msg(enum osh_log_level level, int err, const char *fmt, ...) OSH_PRINTF(3, 4);

/* The errno form: log ": strerror" after the text and return @r, so that a failure is one line. */
#define osh_log_err(r, ...)                                    \
	__extension__({                                        \
		int osh_r_ = (r);                              \
		osh_log_msg(OSH_LOG_ERR, osh_r_, __VA_ARGS__); \
		osh_r_;                                        \
	})
#define osh_log_warn_errno(r, ...) osh_log_msg(OSH_LOG_WARN, (r), __VA_ARGS__)
#define osh_log_error(...)	   osh_log_msg(OSH_LOG_ERR, 0, __VA_ARGS__)
#define osh_log_warn(...)	   osh_log_msg(OSH_LOG_WARN, 0, __VA_ARGS__)
#define osh_log_notice(...)	   osh_log_msg(OSH_LOG_NOTICE, 0, __VA_ARGS__)
#define osh_log_info(...)	   osh_log_msg(OSH_LOG_INFO, 0, __VA_ARGS__)
#define osh_log_debug(...)                                          \
	do {                                                        \
		if (osh_log_level() >= OSH_LOG_DEBUG)               \
			osh_log_msg(OSH_LOG_DEBUG, 0, __VA_ARGS__); \
	} while (0)

#endif
