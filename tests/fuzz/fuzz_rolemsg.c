/* SPDX-License-Identifier: MIT */
/*
 * A hostile role: first byte the link, second the type, third the number of descriptors, the rest the
 * body. What passes is what the receivers rely on: sizes, ends of texts, characters of host names.
 */
#include "fuzz.h"

#include "io/rolemsg.h"
#include "openshell/role.h"

static void check_text(const char *s, size_t size, bool host)
{
	size_t n = strnlen(s, size);

	CHECK(n < size);
	for (size_t i = 0; host && i < n; i++)
		CHECK(s[i] > ' ' && s[i] < 0x7f && !(s[i] >= 'A' && s[i] <= 'Z'));
}

static void check_body(uint32_t type, const void *body, size_t n)
{
	const struct osh_msg_name *name = body;
	const struct osh_msg_sign *sign = body;
	const struct osh_msg_cert *cert = body;
	const struct osh_msg_ca *ca = body;

	switch (type) {
	case OSH_MSG_NAME_ASK:
		CHECK(n == sizeof(*name) && name->sandbox);
		check_text(name->host, sizeof(name->host), true);
		break;
	case OSH_MSG_SIGN:
		CHECK(n == sizeof(*sign) && sign->pubkey_len <= sizeof(sign->pubkey));
		check_text(sign->host, sizeof(sign->host), true);
		break;
	case OSH_MSG_CERT:
		CHECK(n == sizeof(*cert) && cert->cert_len <= sizeof(cert->cert));
		check_text(cert->host, sizeof(cert->host), true);
		break;
	case OSH_MSG_CA:
	case OSH_MSG_CA_MAKE:
	case OSH_MSG_CA_DROP:
		CHECK(n == sizeof(*ca) && ca->sandbox);
		check_text(ca->name, sizeof(ca->name), false);
		if (type == OSH_MSG_CA)
			check_text(ca->pem, sizeof(ca->pem), false);
		break;
	case OSH_MSG_EXE_ASK:
		CHECK(n == sizeof(struct osh_msg_exe));
		break;
	case OSH_MSG_POLICY_LOADED:
	case OSH_MSG_POLICY_ACTIVE:
		CHECK(n == sizeof(struct osh_msg_policy));
		break;
	case OSH_MSG_FLOWS:
	case OSH_MSG_STATS:
		break;
	default:
		CHECK(n == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* copied: aligned as in the receivers, and bounded for the address sanitizer */
	uint64_t *body = size > 3 ? malloc((size - 3 + 7) & ~(size_t)7) : NULL;
	struct osh_seqpkt_msg msg = { 0 };

	if (size < 3 || size - 3 > OSH_SEQPKT_MAX_BYTES) {
		free(body);
		return 0;
	}
	if (body)
		memcpy(body, data + 3, size - 3);
	msg.hdr.type = data[1];
	msg.hdr.len = (uint32_t)(size - 3);
	msg.body = body;
	msg.fd_count = data[2] % (OSH_SEQPKT_MAX_FDS + 1);
	if (osh_rolemsg_check((enum osh_rolemsg_link)(data[0] % 8), &msg) == 0)
		check_body(msg.hdr.type, body, size - 3);
	free(body);
	return 0;
}
