/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *role_name = "openshell";
static enum osh_log_level max_shown = OSH_LOG_INFO;
static int to_journal = -1;

void osh_log_init(const char *role, enum osh_log_level max_level)
{
	role_name = role;
	max_shown = max_level;
	to_journal = secure_getenv("JOURNAL_STREAM") != NULL;
}

static size_t put_prefix(char *line, size_t size, enum osh_log_level level)
{
	struct timespec now;
	struct tm tm;
	int n;

	if (to_journal < 0)
		to_journal = secure_getenv("JOURNAL_STREAM") != NULL;
	if (to_journal) {
		n = snprintf(line, size, "<%d>%s: ", (int)level, role_name);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		n = snprintf(line, size,
			     "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%d] %s: ", tm.tm_year + 1900,
			     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			     now.tv_nsec / 1000000, role_name, (int)getpid(),
			     level <= OSH_LOG_ERR     ? "error"
			     : level == OSH_LOG_WARN  ? "warning"
			     : level == OSH_LOG_DEBUG ? "debug"
						      : "info");
	}
	return OSH_MIN((size_t)n, size - 1);
}

void osh_log_msg(enum osh_log_level level, int err, const char *fmt, ...)
{
	char line[2048];
	int saved = errno;
	size_t at;
	va_list ap;
	int n;

	if (level > max_shown)
		return;
	at = put_prefix(line, sizeof(line) - 1, level);
	va_start(ap, fmt);
	n = vsnprintf(line + at, sizeof(line) - 1 - at, fmt, ap);
	va_end(ap);
	if (n > 0)
		at = OSH_MIN(at + (size_t)n, sizeof(line) - 2);
	if (err) {
		n = snprintf(line + at, sizeof(line) - 1 - at, ": %s",
			     strerror(err < 0 ? -err : err));
		at = OSH_MIN(at + (size_t)n, sizeof(line) - 2);
	}
	for (size_t i = 0; i < at; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0) {
		/* nowhere left to say it */
	}
	errno = saved;
}
