/* SPDX-License-Identifier: MIT */
/* RFC 6455 4.2.2: the answer that proves that the other side speaks WebSocket. */
#ifndef OSH_HTTP_WSKEY_H
#define OSH_HTTP_WSKEY_H

#include "base/str.h"

#define OSH_WS_KEY_BYTES    24 /* of Sec-WebSocket-Key */
#define OSH_WS_ACCEPT_BYTES 28 /* of Sec-WebSocket-Accept */

/* Is @accept the answer to @key? */
bool osh_ws_accept_is_valid(struct osh_str key, struct osh_str accept);

#endif
