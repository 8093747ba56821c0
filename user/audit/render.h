/* SPDX-License-Identifier: MIT */
/*
 * Renderings of a record (decision D30). All pure: bytes in, bytes appended to a buffer, no
 * newline at the end. Values from outside are escaped, so that no field, line or escape sequence can
 * be forged. Each returns 0, -EMSGSIZE (the buffer's ceiling; 16 KiB is enough for any record) or
 * -ENOMEM; the buffer then holds a part.
 */
#ifndef OSH_AUDIT_RENDER_H
#define OSH_AUDIT_RENDER_H

#include "audit/record.h"
#include "base/buf.h"
#include "base/json.h"

#define OSH_RENDER_MAX 16384

/* D7: action=deny dst_host=... / l7_decision=deny dst_host=... / the message of other classes. */
int osh_render_message(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;
/* [secs.millis] [source ] [LEVEL] [target] and the D7 message. */
int osh_render_line(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;
/* Reference 7.2: NET:OPEN [MED] DENIED ... */
int osh_render_shorthand(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;
/* [secs.millis] [source ] [OCSF ] [ocsf] and the shorthand. */
int osh_render_ocsf_line(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;
/* One OCSF 1.8 object, keys in alphabetical order. @hostname: of this host, "" if unknown. */
int osh_render_ocsf_json(const struct osh_rec *rec, const char *hostname,
			 struct osh_buf *out) OSH_MUST_CHECK;
/* A datagram for journald's native protocol. */
int osh_render_journal(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;

/*
 * Our own JSON form, in segments and on the control socket: {"seq":..,"time_ns":..,"level":..,
 * "source":..,"sandbox":..,"class":..,"verdict":..}, then what is known. Exactly reversible but for
 * bytes that are no UTF-8 (U+FFFD).
 */
int osh_render_json(const struct osh_rec *rec, struct osh_buf *out) OSH_MUST_CHECK;
/* Inverse. Unknown keys are skipped (a newer writer); wrong types are -EBADMSG. */
int osh_render_parse_json(const struct osh_jval *obj, struct osh_rec *ret_rec) OSH_MUST_CHECK;

#endif
