/* SPDX-License-Identifier: MIT */
/* Trust store for Java programs, which read neither PEM bundles nor the variables of others. */
#ifndef OSH_SANDBOX_JKS_H
#define OSH_SANDBOX_JKS_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Append a JKS key store (version 2, password "changeit" as every Java program expects) with each
 * certificate of @pem to @ret_jks, which must be empty. What is no well-formed PEM certificate is left
 * out: it is not trusted then. -ENOMEM or -ENOBUFS.
 */
int osh_jks_from_pem(struct osh_str pem, struct osh_buf *ret_jks) OSH_MUST_CHECK;

#endif
