/* SPDX-License-Identifier: MIT */
/* A JSON tree as block-style YAML that every YAML 1.1 or 1.2 reader understands the same way. */
#ifndef OSH_POLICY_YAMLOUT_H
#define OSH_POLICY_YAMLOUT_H

#include "base/json.h"

/* Appends to @out; ends in a newline. -EMSGSIZE, -ENOMEM. */
int osh_yaml_write(const struct osh_jval *tree, struct osh_buf *out) OSH_MUST_CHECK;

#endif
