/* SPDX-License-Identifier: MIT */
/*
 * Method Introspect: bpf, flow, identity, counters. Each topic fills one table for people and the
 * same rows as objects for programs.
 */
#include "daemon/api.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/flows.h"

/* ---- a table with both forms ---- */

enum { CELLS_MAX = 12, TABLE_MAX = OSH_CTL_MSG_MAX / 3 };

struct table {
	const char *title;
	const char *columns[CELLS_MAX];
	size_t ncolumns;
	struct osh_buf rows_text, data_text;
	struct osh_json rows, data;
};

static void table_begin(struct table *t, const char *title, const char *const *columns, size_t n)
{
	*t = (struct table){ .title = title, .ncolumns = n };
	for (size_t i = 0; i < n; i++)
		t->columns[i] = columns[i];
	osh_buf_init(&t->rows_text, TABLE_MAX, 0);
	osh_buf_init(&t->data_text, TABLE_MAX, 0);
	osh_json_init(&t->rows, &t->rows_text, 0);
	osh_json_init(&t->data, &t->data_text, 0);
	osh_json_arr(&t->rows);
	osh_json_arr(&t->data);
}

static void row_begin(struct table *t)
{
	osh_json_arr(&t->rows);
	osh_json_obj(&t->data);
}

static void row_end(struct table *t)
{
	osh_json_arr_end(&t->rows);
	osh_json_obj_end(&t->data);
}

static void cell(struct table *t, const char *key, const char *text)
{
	osh_json_str(&t->rows, osh_str(text));
	osh_json_kz(&t->data, key, text);
}

static void cell_u64(struct table *t, const char *key, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	osh_json_str(&t->rows, osh_str(text));
	osh_json_ku64(&t->data, key, v);
}

static void table_fini(struct table *t)
{
	osh_buf_fini(&t->rows_text);
	osh_buf_fini(&t->data_text);
}

/* Frees it, too. */
static void table_reply(struct osh_ctl_call *call, struct table *t)
{
	struct osh_json *j;

	osh_json_arr_end(&t->rows);
	osh_json_arr_end(&t->data);
	if (t->rows.err || t->data.err) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, "narrow it down to one sandbox or object",
			     "%s: the answer is too large", t->title);
	} else {
		j = osh_ctl_reply_begin(call);
		osh_json_kz(j, "title", t->title);
		osh_json_key(j, "columns");
		osh_json_arr(j);
		for (size_t i = 0; i < t->ncolumns; i++)
			osh_json_str(j, osh_str(t->columns[i]));
		osh_json_arr_end(j);
		osh_json_key(j, "rows");
		osh_json_raw(j, osh_buf_str(&t->rows_text));
		osh_json_key(j, "data");
		osh_json_obj(j);
		osh_json_key(j, "items");
		osh_json_raw(j, osh_buf_str(&t->data_text));
		osh_json_obj_end(j);
		osh_ctl_reply_end(call);
	}
	table_fini(t);
}

/* ---- counters ---- */

static void counters(struct osh_ctl_call *call)
{
	static const char *const columns[] = { "COUNTER", "VALUE", "KIND", "MEANING" };
	uint64_t values[OSH_CTR_MAX] = { 0 };
	struct table t;
	int r = osh_kern_counters(osh_api_monitor()->kern, values);

	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read the counters: %s",
			     strerror(-r));
		return;
	}
	table_begin(&t, "Counters of the fence", columns, OSH_ARRAY_SIZE(columns));
	for (unsigned int i = 0; osh_kern_ctr_name(i); i++) {
		row_begin(&t);
		cell(&t, "name", osh_kern_ctr_name(i));
		cell_u64(&t, "value", values[i]);
		cell(&t, "kind", osh_kern_ctr_is_anomaly(i) ? "anomaly" : "traffic");
		cell(&t, "text", osh_kern_ctr_text(i));
		row_end(&t);
	}
	table_reply(call, &t);
}

/* ---- bpf ---- */

static int put_prog(const struct osh_kern_prog_info *info, void *arg)
{
	struct table *t = arg;

	row_begin(t);
	cell_u64(t, "id", info->id);
	cell(t, "name", info->name);
	cell(t, "type", info->type);
	cell(t, "tag", info->tag);
	cell(t, "attached", info->attached ? "yes" : "no");
	cell(t, "required", info->required ? "yes" : "no");
	cell_u64(t, "insns", info->insns);
	cell_u64(t, "jited_bytes", info->jited_bytes);
	cell_u64(t, "run_count", info->run_count);
	cell_u64(t, "run_ns", info->run_ns);
	row_end(t);
	return 0;
}

static int put_map(const struct osh_kern_map_info *info, void *arg)
{
	struct table *t = arg;
	char entries[24] = "-";

	if (info->entries >= 0)
		(void)snprintf(entries, sizeof(entries), "%lld", (long long)info->entries);
	row_begin(t);
	cell_u64(t, "id", info->id);
	cell(t, "name", info->name);
	cell(t, "type", info->type);
	cell_u64(t, "key_bytes", info->key_bytes);
	cell_u64(t, "value_bytes", info->value_bytes);
	cell_u64(t, "max_entries", info->max_entries);
	cell(t, "entries", entries);
	row_end(t);
	return 0;
}

static int put_link(const struct osh_kern_link_info *info, void *arg)
{
	struct table *t = arg;

	row_begin(t);
	cell_u64(t, "id", info->id);
	cell(t, "program", info->prog);
	cell_u64(t, "program_id", info->prog_id);
	cell(t, "type", info->type);
	cell_u64(t, "cgroup_id", info->cgroup_id);
	cell(t, "pinned", info->pinned ? "yes" : "no");
	row_end(t);
	return 0;
}

static void dump_map(struct osh_ctl_call *call, const char *name)
{
	osh_auto_bufmem struct osh_buf json;
	struct osh_json *j;
	int r;

	osh_buf_init(&json, TABLE_MAX, 0);
	r = osh_kern_map_dump(osh_api_monitor()->kern, name, true, &json);
	if (r < 0) {
		osh_ctl_fail(call, r == -ENOENT ? OSH_CTL_ERR_NOT_FOUND : OSH_CTL_ERR_INTERNAL,
			     "see which there are: openshell bpf map", "cannot dump map %s: %s",
			     OSH_Q(name), r == -ENOENT ? "no such map of ours" : strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_kz(j, "title", name);
	osh_json_key(j, "columns");
	osh_json_raw(j, OSH_STR("[\"ENTRIES\"]"));
	osh_json_key(j, "rows");
	osh_json_raw(j, OSH_STR("[]"));
	osh_json_key(j, "data");
	osh_json_obj(j);
	osh_json_key(j, "items");
	osh_json_raw(j, osh_buf_str(&json));
	osh_json_obj_end(j);
	osh_ctl_reply_end(call);
}

static void bpf(struct osh_ctl_call *call, const char *argument)
{
	static const char *const progs[] = { "ID",	 "NAME",  "TYPE",  "TAG",  "ATTACHED",
					     "REQUIRED", "INSNS", "JITED", "RUNS", "RUN_NS" };
	static const char *const maps[] = {
		"ID", "NAME", "TYPE", "KEY", "VALUE", "MAX", "ENTRIES"
	};
	static const char *const links[] = {
		"ID", "PROGRAM", "PROG_ID", "TYPE", "CGROUP", "PINNED"
	};
	struct osh_kern *kern = osh_api_monitor()->kern;
	struct table t;
	int r;

	if (strncmp(argument, "map ", 4) == 0) {
		dump_map(call, argument + 4);
		return;
	}
	if (strcmp(argument, "map") == 0) {
		table_begin(&t, "Maps", maps, OSH_ARRAY_SIZE(maps));
		r = osh_kern_map_each(kern, put_map, &t);
	} else if (strcmp(argument, "link") == 0) {
		table_begin(&t, "Links", links, OSH_ARRAY_SIZE(links));
		r = osh_kern_link_each(kern, put_link, &t);
	} else {
		table_begin(&t, "Programs", progs, OSH_ARRAY_SIZE(progs));
		r = osh_kern_prog_each(kern, put_prog, &t);
	}
	if (r < 0 && !t.rows.err)
		t.rows.err = r;
	table_reply(call, &t);
}

/* ---- identity ---- */

static void put_lineage(struct table *t, const struct osh_task *task)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, 16384, 0);
	for (uint32_t i = 0; i < OSH_MIN(task->lineage_count, (uint32_t)OSH_LINEAGE_MAX); i++)
		(void)!osh_buf_printf(&text, "%s%s", i ? " <- " : "",
				      osh_idents_path(osh_api_monitor(), task->lineage[i].exe));
	cell(t, "ancestors", text.data ? text.data : "");
}

static int put_task(pid_t tgid, const struct osh_task *task, void *arg)
{
	struct table *t = arg;
	const struct osh_sandbox *sb = osh_sb_by_id(osh_api_monitor(), task->sandbox);

	row_begin(t);
	cell_u64(t, "pid", (uint64_t)tgid);
	cell(t, "sandbox", sb ? sb->name : "?");
	cell_u64(t, "exe", task->exe);
	cell(t, "binary", osh_idents_path(osh_api_monitor(), task->exe));
	cell(t, "tainted", task->flags & OSH_RUN_TAINTED ? "yes" : "no");
	cell_u64(t, "flags", task->flags);
	put_lineage(t, task);
	row_end(t);
	return t->rows.err;
}

static void identity_one(struct osh_ctl_call *call, pid_t pid)
{
	struct osh_monitor *m = osh_api_monitor();
	struct osh_task task;
	struct osh_json *j;
	int r = osh_kern_task_get(m->kern, pid, &task);

	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_NOT_FOUND,
			     "see which there are: openshell identity list",
			     "process %d is in no sandbox", (int)pid);
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_kz(j, "title", "Identity");
	osh_json_key(j, "columns");
	osh_json_raw(j, OSH_STR("[\"EXE\",\"PATH\"]"));
	osh_json_key(j, "rows");
	osh_json_arr(j);
	for (uint32_t i = 0; i <= OSH_MIN(task.lineage_count, (uint32_t)OSH_LINEAGE_MAX); i++) {
		uint32_t exe = i ? task.lineage[i - 1].exe : task.exe;
		char text[24];

		(void)snprintf(text, sizeof(text), "%u", exe);
		osh_json_arr(j);
		osh_json_str(j, osh_str(text));
		osh_json_str(j, osh_str(osh_idents_path(m, exe)));
		osh_json_arr_end(j);
	}
	osh_json_arr_end(j);
	osh_json_key(j, "data");
	osh_json_obj(j);
	osh_json_ku64(j, "pid", (uint64_t)pid);
	osh_json_ku64(j, "exec_id", task.exec_id);
	osh_json_ku64(j, "flags", task.flags);
	osh_json_kbool(j, "tainted", task.flags & OSH_RUN_TAINTED);
	osh_json_key(j, "self");
	osh_idents_json(m, task.exe, j);
	osh_json_key(j, "ancestors");
	osh_json_arr(j);
	for (uint32_t i = 0; i < OSH_MIN(task.lineage_count, (uint32_t)OSH_LINEAGE_MAX); i++)
		osh_idents_json(m, task.lineage[i].exe, j);
	osh_json_arr_end(j);
	osh_json_obj_end(j);
	osh_ctl_reply_end(call);
}

static void identity(struct osh_ctl_call *call, const struct osh_sandbox *sb, const char *argument)
{
	static const char *const columns[] = { "PID",	  "SANDBOX", "EXE",	 "BINARY",
					       "TAINTED", "FLAGS",   "ANCESTORS" };
	struct table t;
	uint64_t pid;
	int r;

	if (argument[0]) {
		if (osh_parse_u64(osh_str(argument), INT32_MAX, &pid) < 0)
			osh_ctl_fail(call, OSH_CTL_ERR_INVALID,
				     "see which there are: openshell identity list",
				     "%s is no process id", OSH_Q(argument));
		else
			identity_one(call, (pid_t)pid);
		return;
	}
	table_begin(&t, "Identities", columns, OSH_ARRAY_SIZE(columns));
	r = osh_kern_task_each(osh_api_monitor()->kern, sb ? sb->id : 0, put_task, &t);
	if (r < 0 && !t.rows.err)
		t.rows.err = r;
	table_reply(call, &t);
}

/* ---- flow ---- */

struct flow_ask {
	struct osh_ctl_waiter waiter;
	char sandbox[OSH_STATE_NAME_MAX + 1];
	char flow[32];
};

static void flow_abandoned(struct osh_ctl_waiter *w)
{
	w->call = NULL;
}

static const char *text_of(const struct osh_jval *flow, const char *key)
{
	return osh_jval_z(osh_jval_get(flow, key), "");
}

static uint64_t number_of(const struct osh_jval *flow, const char *key)
{
	int64_t v = osh_jval_i64(osh_jval_get(flow, key), 0);

	return v > 0 ? (uint64_t)v : 0;
}

static const char *sandbox_of(const struct osh_jval *flow)
{
	const struct osh_sandbox *sb = osh_sb_by_id(osh_api_monitor(),
						    (uint32_t)number_of(flow, "sandbox"));

	return sb ? sb->name : "?";
}

static void put_flow(struct table *t, const struct osh_jval *flow)
{
	static const char *const numbers[] = { "pid", "generation", "bytes_up", "bytes_down",
					       "age_ms" };
	char where[OSH_HOST_LEN + 8];

	row_begin(t);
	cell_u64(t, "id", number_of(flow, "flow"));
	cell(t, "sandbox", sandbox_of(flow));
	cell(t, "binary", text_of(flow, "binary"));
	(void)snprintf(where, sizeof(where), "%.255s:%u", text_of(flow, "host"),
		       (unsigned int)(uint16_t)number_of(flow, "port"));
	cell(t, "destination", where);
	cell(t, "rule", text_of(flow, "rule"));
	cell(t, "state", text_of(flow, "state"));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(numbers); i++)
		cell_u64(t, numbers[i], number_of(flow, numbers[i]));
	row_end(t);
}

static void flows_done(struct osh_str items, void *arg)
{
	static const char *const columns[] = { "ID",   "SANDBOX", "BINARY", "DESTINATION",
					       "RULE", "STATE",	  "PID",    "GENERATION",
					       "UP",   "DOWN",	  "AGE_MS" };
	struct flow_ask *ask = arg;
	osh_auto_bufmem struct osh_buf text;
	osh_auto_jval struct osh_jval *list = NULL;
	bool any = false;
	struct table t;

	osh_buf_init(&text, items.n + 3, 0);
	if (ask->waiter.call && osh_buf_printf(&text, "[%.*s]", OSH_STR_FMT(items)) == 0 &&
	    osh_json_parse(osh_buf_str(&text), &list, NULL, 0) == 0) {
		table_begin(&t, "Live flows", columns, OSH_ARRAY_SIZE(columns));
		for (size_t i = 0; i < osh_jval_len(list); i++) {
			const struct osh_jval *flow = osh_jval_at(list, i);
			char id[24];

			(void)snprintf(id, sizeof(id), "%llu",
				       (unsigned long long)number_of(flow, "flow"));
			if ((!ask->sandbox[0] || strcmp(sandbox_of(flow), ask->sandbox) == 0) &&
			    (!ask->flow[0] || strcmp(id, ask->flow) == 0)) {
				put_flow(&t, flow);
				any = true;
			}
		}
		if (any || !ask->flow[0])
			table_reply(ask->waiter.call, &t);
		else
			osh_ctl_fail(ask->waiter.call, OSH_CTL_ERR_NOT_FOUND,
				     "see which there are: openshell flow list",
				     "flow %s is not under way", ask->flow);
		table_fini(&t);
	} else if (ask->waiter.call) {
		osh_ctl_fail(ask->waiter.call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read the flows");
	}
	free(ask);
}

static void flow(struct osh_ctl_call *call, const struct osh_sandbox *sb, const char *argument)
{
	struct flow_ask *ask;
	uint64_t id;
	int r;

	if (argument[0] && osh_parse_u64(osh_str(argument), UINT64_MAX, &id) < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, "see which there are: openshell flow list",
			     "%s is no flow id", OSH_Q(argument));
		return;
	}
	ask = calloc(1, sizeof(*ask));
	if (!ask) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	ask->waiter.on_close = flow_abandoned;
	if (sb)
		(void)osh_strlcpy(ask->sandbox, sb->name, sizeof(ask->sandbox));
	(void)osh_strlcpy(ask->flow, argument, sizeof(ask->flow));
	osh_ctl_call_wait(call, &ask->waiter);
	r = osh_flows_collect(osh_api_monitor(), false, flows_done, ask);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot ask the proxies: %s",
			     strerror(-r));
		free(ask);
	}
}

void osh_api_introspect(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const char *topic, *name, *argument;
	struct osh_sandbox *sb = NULL;

	if (osh_ctl_param_str(call, params, "topic", 32, &topic) < 0 ||
	    osh_ctl_param_str_opt(call, params, "sandbox", 253, &name) < 0 ||
	    osh_ctl_param_str_opt(call, params, "argument", 256, &argument) < 0)
		return;
	if (name && name[0] && osh_api_sandbox(call, params, "sandbox", &sb) < 0)
		return;
	argument = argument ? argument : "";
	if (strcmp(topic, "counters") == 0)
		counters(call);
	else if (strcmp(topic, "bpf") == 0)
		bpf(call, argument);
	else if (strcmp(topic, "identity") == 0)
		identity(call, sb, argument);
	else if (strcmp(topic, "flow") == 0)
		flow(call, sb, argument);
	else
		osh_ctl_fail_param(call, "topic");
}
