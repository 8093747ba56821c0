/* SPDX-License-Identifier: MIT */
/*
 * TLS ClientHello, read only (RFC 8446 4.1.2, RFC 6066 SNI, RFC 7301 ALPN): spread over any number
 * of records and segments, bounded, nothing decrypted.
 */
#ifndef OSH_HTTP_HELLO_H
#define OSH_HTTP_HELLO_H

#include "base/str.h"

#define OSH_HELLO_MAX	   (16 * 1024 + 4) /* bytes of the handshake message; more is refused */
#define OSH_HELLO_WIRE_MAX (OSH_HELLO_MAX + 5 * 256) /* with its record headers */

enum osh_hello_ech {
	OSH_HELLO_ECH_NONE = 0,
	OSH_HELLO_ECH_OUTER, /* well formed; GREASE cannot be told from a real one by its form */
	OSH_HELLO_ECH_BAD, /* malformed, or an inner hello */
};

struct osh_hello {
	char sni[256]; /* lower-case, NUL-terminated; "" when there is none */
	uint8_t sni_len;
	bool has_sni;
	bool sni_is_bad; /* present but not one well-formed host_name */
	bool alpn; /* the extension is there */
	bool alpn_h2, alpn_http11, alpn_other;
	enum osh_hello_ech ech;
	bool ech_grease_like; /* payload has one of the sizes that GREASE uses */
	bool early_data, psk;
	bool tls13; /* supported_versions lists TLS 1.3 */
	uint16_t version; /* legacy_version */
	size_t wire_len; /* bytes of the input that the hello spans */
};

/*
 * 0; -EAGAIN more input; -EBADMSG not a ClientHello or malformed; -EMSGSIZE too large. Give the
 * whole input from its first byte in every call.
 */
int osh_hello_parse(struct osh_str in, struct osh_hello *ret) OSH_MUST_CHECK;

#endif
