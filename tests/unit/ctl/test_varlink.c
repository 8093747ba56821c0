/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/varlink.h"
#include "io/loop.h"

static char dir[64], path[128];
static pid_t server_pid;

/* ---- the server under test, in a child ---- */

static struct osh_loop *loop;

static void on_echo(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const char *text;
	uint64_t n;
	bool flag;

	if (osh_ctl_param_str(call, params, "text", 64, &text) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "n", 100, 7, &n) < 0 ||
	    osh_ctl_param_bool_opt(call, params, "flag", false, &flag) < 0)
		return;
	osh_json_kz(osh_ctl_reply_begin(call), "text", text);
	osh_json_ku64(osh_ctl_reply_begin(call), "unused", 1); /* beginning again starts afresh */
	struct osh_json *j = osh_ctl_reply_begin(call);
	osh_json_kz(j, "text", text);
	osh_json_ku64(j, "n", n);
	osh_json_kbool(j, "flag", flag);
	osh_json_ku64(j, "uid", osh_ctl_call_peer(call)->uid);
	osh_ctl_reply_end(call);
}

static void on_fail(struct osh_ctl_call *call, const struct osh_jval *params)
{
	(void)params;
	osh_ctl_fail_diag(call, OSH_CTL_ERR_NOT_FOUND, "look elsewhere", "f:1:2: x\n", "no %s here",
			  "thing");
}

static void on_count(struct osh_ctl_call *call, const struct osh_jval *params)
{
	(void)params;
	for (unsigned int i = 0; i < 3; i++) {
		osh_json_ku64(osh_ctl_reply_begin(call), "i", i);
		osh_ctl_reply_continue(call);
	}
	osh_json_ku64(osh_ctl_reply_begin(call), "i", 3);
	osh_ctl_reply_end(call);
}

/* Turns the descriptor around and sends one of its own. */
static void on_fds(struct osh_ctl_call *call, const struct osh_jval *params)
{
	int got = osh_ctl_call_take_fd(call, 0);
	int p[2];

	(void)params;
	if (got < 0 || pipe2(p, O_CLOEXEC) < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL, "no descriptor");
		return;
	}
	(void)osh_ctl_reply_begin(call);
	(void)!write(p[1], "hello", 5);
	close(p[1]);
	osh_ctl_reply_take_fd(call, p[0]);
	osh_ctl_reply_take_fd(call, got);
	osh_ctl_reply_end(call);
}

struct later {
	struct osh_ctl_waiter w;
	struct osh_timer timer;
};
static struct later later;
static unsigned int closed;

static void later_closed(struct osh_ctl_waiter *w)
{
	struct later *l = osh_container_of(w, struct later, w);

	osh_timer_stop(&l->timer);
	closed++;
}

static void later_fire(struct osh_timer *t)
{
	struct later *l = osh_container_of(t, struct later, timer);

	osh_ctl_reply_ok(l->w.call);
}

static void on_later(struct osh_ctl_call *call, const struct osh_jval *params)
{
	uint64_t ms;

	if (osh_ctl_param_u64_opt(call, params, "ms", 100000, 10, &ms) < 0)
		return;
	later.w = (struct osh_ctl_waiter){ .on_close = later_closed };
	osh_ctl_call_wait(call, &later.w);
	osh_timer_set(loop, &later.timer, ms, later_fire);
}

static void on_closed(struct osh_ctl_call *call, const struct osh_jval *params)
{
	(void)params;
	osh_json_ku64(osh_ctl_reply_begin(call), "closed", closed);
	osh_ctl_reply_end(call);
}

/* Streams 1 KiB answers for ever, as far as there is room. */
struct flood {
	struct osh_ctl_waiter w;
};
static struct flood flood;
static unsigned int flood_sent, flood_rooms;

static void flood_on(void)
{
	static char kib[1025];

	memset(kib, 'x', 1024);
	while (osh_ctl_call_has_room(flood.w.call)) {
		osh_json_kz(osh_ctl_reply_begin(flood.w.call), "data", kib);
		osh_ctl_reply_continue(flood.w.call);
		flood_sent++;
	}
}

static void flood_room(struct osh_ctl_waiter *w)
{
	(void)w;
	flood_rooms++;
	flood_on();
}

static void flood_closed(struct osh_ctl_waiter *w)
{
	(void)w;
	closed++;
}

static void on_flood(struct osh_ctl_call *call, const struct osh_jval *params)
{
	(void)params;
	flood.w = (struct osh_ctl_waiter){ .on_close = flood_closed, .on_room = flood_room };
	osh_ctl_call_wait(call, &flood.w);
	flood_on();
}

static void on_mute(struct osh_ctl_call *call, const struct osh_jval *params)
{
	(void)call;
	(void)params;
}

static void on_big(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);
	static char chunk[60001];

	(void)params;
	memset(chunk, 'y', 60000);
	for (unsigned int i = 0; i < 20; i++)
		osh_json_kz(j, "k", chunk);
	osh_ctl_reply_end(call);
}

static const struct osh_ctl_method methods[] = {
	{ "Echo", on_echo, OSH_CTL_ONEWAY_OK },
	{ "Fail", on_fail, 0 },
	{ "Count", on_count, OSH_CTL_NEEDS_MORE },
	{ "Fds", on_fds, 0 },
	{ "Later", on_later, 0 },
	{ "Closed", on_closed, 0 },
	{ "Flood", on_flood, OSH_CTL_NEEDS_MORE },
	{ "Mute", on_mute, 0 },
	{ "Big", on_big, 0 },
	{ 0 },
};

static int admit(const struct osh_ctl_peer *peer)
{
	return peer->pid > 0 && peer->uid == getuid() ? 0 : -EPERM;
}

static void serve(int fd)
{
	struct osh_ctl_config config = { .methods = methods, .admit = admit };
	struct osh_ctl_server *server;

	alarm(60);
	loop = osh_loop_new();
	config.loop = loop;
	if (!loop || osh_ctl_server_new(&config, fd, &server) < 0)
		_exit(3);
	_exit(osh_loop_run(loop) < 0);
}

static int setup(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/osh-ctl-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/s.sock", dir);
	if (osh_ctl_listen(path, 0660, (gid_t)-1, &fd) < 0)
		return -1;
	server_pid = fork();
	if (!server_pid)
		serve(fd);
	close(fd);
	return server_pid < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
	unlink(path);
	rmdir(dir);
	return 0;
}

/* ---- tests ---- */

static struct osh_ctl_client *client(void)
{
	struct osh_ctl_client *c;

	assert_int_equal(osh_ctl_connect(path, &c), 0);
	return c;
}

static void call(struct osh_ctl_client *c, const char *method, const char *params,
		 struct osh_ctl_reply *reply)
{
	*reply = (struct osh_ctl_reply)OSH_CTL_REPLY_NONE;
	assert_int_equal(osh_ctl_call_simple(c, method, osh_str(params), reply), 0);
}

static void echo_and_defaults(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply r;

	(void)state;
	call(c, "Echo", "{\"text\":\"a\\nb\",\"flag\":true}", &r);
	assert_null(r.error);
	assert_string_equal(osh_jval_z(osh_jval_get(r.params, "text"), ""), "a\nb");
	assert_int_equal(osh_jval_i64(osh_jval_get(r.params, "n"), 0), 7);
	assert_true(osh_jval_bool(osh_jval_get(r.params, "flag"), false));
	assert_int_equal(osh_jval_i64(osh_jval_get(r.params, "uid"), -1), getuid());
	assert_null(osh_jval_get(r.params, "unused"));
	assert_false(r.continues);
}

static void bad_parameters_are_named(void **state)
{
	static const char *const bad[][2] = {
		{ "{}", "text" },
		{ "{\"text\":1}", "text" },
		{ "{\"text\":\"a\",\"n\":101}", "n" },
		{ "{\"text\":\"a\",\"n\":-1}", "n" },
		{ "{\"text\":\"a\",\"n\":\"1\"}", "n" },
		{ "{\"text\":\"a\",\"flag\":\"x\"}", "flag" },
	};
	osh_auto_ctl_client struct osh_ctl_client *c = client();

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r;

		call(c, "Echo", bad[i][0], &r);
		assert_non_null(r.error);
		assert_string_equal(r.error, "org.varlink.service.InvalidParameter");
		assert_string_equal(osh_jval_z(osh_jval_get(r.params, "parameter"), ""), bad[i][1]);
	}
}

static void errors_carry_message_and_hint(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply r;

	(void)state;
	call(c, "Fail", "{}", &r);
	assert_string_equal(r.error, "io.openshell.NotFound");
	assert_string_equal(osh_jval_z(osh_jval_get(r.params, "message"), ""), "no thing here");
	assert_string_equal(osh_jval_z(osh_jval_get(r.params, "hint"), ""), "look elsewhere");
	assert_string_equal(osh_jval_z(osh_jval_get(r.params, "diagnostics"), ""), "f:1:2: x\n");
}

static void unknown_things_are_refused(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply a, b, d, e;

	(void)state;
	call(c, "Nope", "{}", &a);
	assert_string_equal(a.error, "org.varlink.service.MethodNotFound");
	call(c, "com.example.Nope", "{}", &b);
	assert_string_equal(b.error, "org.varlink.service.InterfaceNotFound");
	assert_string_equal(osh_jval_z(osh_jval_get(b.params, "interface"), ""), "com.example");
	call(c, "Mute", "{}", &d);
	assert_string_equal(d.error, "io.openshell.Internal");
	call(c, "Big", "{}", &e);
	assert_string_equal(e.error, "io.openshell.Internal");
}

static void service_describes_itself(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply a, b, d;
	const char *text;

	(void)state;
	call(c, "org.varlink.service.GetInfo", "{}", &a);
	assert_int_equal(osh_jval_len(osh_jval_get(a.params, "interfaces")), 2);
	call(c, "org.varlink.service.GetInterfaceDescription", "{\"interface\":\"io.openshell\"}",
	     &b);
	text = osh_jval_z(osh_jval_get(b.params, "description"), "");
	assert_non_null(strstr(text, "\ninterface io.openshell\n"));
	assert_non_null(strstr(text, "\nmethod PolicySet("));
	call(c, "org.varlink.service.GetInterfaceDescription", "{\"interface\":\"x.y\"}", &d);
	assert_string_equal(d.error, "org.varlink.service.InterfaceNotFound");
}

static void more_gives_several_answers(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply refused;

	(void)state;
	call(c, "Count", "{}", &refused);
	assert_string_equal(refused.error, "org.varlink.service.ExpectedMore");
	assert_int_equal(osh_ctl_send(c, "Count", OSH_STR("{}"), OSH_CTL_MORE, NULL, 0), 0);
	for (int i = 0; i < 4; i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;

		assert_int_equal(osh_ctl_recv(c, 5000, &r), 0);
		assert_int_equal(osh_jval_i64(osh_jval_get(r.params, "i"), -1), i);
		assert_int_equal(r.continues, i < 3);
	}
}

static void oneway_and_pipelining_keep_order(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();

	(void)state;
	assert_int_equal(osh_ctl_send(c, "Echo", OSH_STR("{\"text\":\"no reply\"}"), OSH_CTL_ONEWAY,
				      NULL, 0),
			 0);
	for (int i = 0; i < 50; i++) {
		char params[64];

		(void)snprintf(params, sizeof(params), "{\"text\":\"t%d\"}", i);
		assert_int_equal(osh_ctl_send(c, i % 7 ? "Echo" : "Later",
					      i % 7 ? osh_str(params) : OSH_STR("{\"ms\":1}"), 0,
					      NULL, 0),
				 0);
	}
	for (int i = 0; i < 50; i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;
		char want[16];

		assert_int_equal(osh_ctl_recv(c, 5000, &r), 0);
		assert_null(r.error);
		(void)snprintf(want, sizeof(want), i % 7 ? "t%d" : "", i);
		assert_string_equal(osh_jval_z(osh_jval_get(r.params, "text"), ""), want);
	}
}

static void descriptors_travel_with_their_message(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	int p[2];
	char text[8] = { 0 };

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	/* the middle one of three pipelined calls carries the descriptor */
	assert_int_equal(osh_ctl_send(c, "Fds", OSH_STR("{}"), 0, NULL, 0), 0);
	assert_int_equal(osh_ctl_send(c, "Fds", OSH_STR("{}"), 0, &p[1], 1), 0);
	assert_int_equal(osh_ctl_send(c, "Fds", OSH_STR("{}"), 0, NULL, 0), 0);
	close(p[1]);
	for (int i = 0; i < 3; i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;

		assert_int_equal(osh_ctl_recv(c, 5000, &r), 0);
		assert_int_equal(r.error == NULL, i == 1);
		assert_int_equal(r.fds[0] >= 0, i == 1);
		assert_true(r.fds[2] < 0);
		if (i != 1)
			continue;
		assert_int_equal(fcntl(r.fds[0], F_GETFD), FD_CLOEXEC);
		assert_int_equal(read(r.fds[0], text, 8), 5);
		assert_int_equal(write(r.fds[1], "back", 4), 4);
	}
	assert_int_equal(read(p[0], text, 8), 4);
	assert_int_equal(read(p[0], text, 8), 0); /* nobody keeps a copy */
	close(p[0]);
}

static void leaving_peer_is_noticed(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client(), *gone = client();
	int64_t n = -1;

	(void)state;
	assert_int_equal(osh_ctl_send(gone, "Later", OSH_STR("{\"ms\":50000}"), 0, NULL, 0), 0);
	usleep(20000); /* let it arrive; not needed for the outcome */
	gone = osh_ctl_client_free(gone);
	for (int i = 0; i < 500 && n < 1; i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r;

		call(c, "Closed", "{}", &r);
		n = osh_jval_i64(osh_jval_get(r.params, "closed"), -1);
		usleep(2000);
	}
	assert_true(n >= 1);
}

static void slow_reader_gets_back_pressure(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();

	(void)state;
	assert_int_equal(osh_ctl_send(c, "Flood", OSH_STR("{}"), OSH_CTL_MORE, NULL, 0), 0);
	/* far more than the queue's ceiling goes through one call */
	for (int i = 0; i < 6000; i++) {
		osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;

		assert_int_equal(osh_ctl_recv(c, 5000, &r), 0);
		assert_true(r.continues);
	}
}

/* Raw bytes in; the server must close without harm to others. */
static void garbage_ends_the_connection(void **state)
{
	static const char *const bad[] = {
		"not json",
		"[]",
		"{}",
		"{\"method\":1}",
		"{\"method\":\"a.b\",\"method\":\"a.b\"}",
		"{\"method\":\"io.openshell.Echo\",\"extra\":1}",
		"{\"method\":\"io.openshell.Echo\",\"parameters\":[]}",
		"{\"method\":\"io.openshell.Echo\",\"more\":true,\"oneway\":true}",
		"{\"method\":\"io.openshell.Echo\",\"parameters\":{\"text\":\"\xff\"}}",
		"",
	};
	osh_auto_ctl_client struct osh_ctl_client *ok = client();

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		osh_auto_ctl_client struct osh_ctl_client *c = client();
		osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;

		assert_int_equal(write(osh_ctl_client_fd(c), bad[i], strlen(bad[i]) + 1),
				 strlen(bad[i]) + 1);
		assert_int_equal(osh_ctl_recv(c, 5000, &r), -ECONNRESET);
	}
	{
		osh_auto_ctl_reply struct osh_ctl_reply r;

		call(ok, "Echo", "{\"text\":\"x\"}", &r);
		assert_null(r.error);
	}
}

static void oversized_message_ends_the_connection(void **state)
{
	osh_auto_ctl_client struct osh_ctl_client *c = client();
	osh_auto_ctl_reply struct osh_ctl_reply r = OSH_CTL_REPLY_NONE;
	static char block[65536];
	int rc;

	(void)state;
	memset(block, ' ', sizeof(block));
	for (int i = 0; i < 40; i++)
		if (send(osh_ctl_client_fd(c), block, sizeof(block), MSG_NOSIGNAL) < 0)
			break;
	rc = osh_ctl_recv(c, 5000, &r);
	assert_true(rc == -ECONNRESET || rc == -EPIPE);
}

static void listening_twice_is_refused_and_dead_sockets_are_replaced(void **state)
{
	char other[160];
	int fd, fd2;

	(void)state;
	assert_int_equal(osh_ctl_listen(path, 0660, (gid_t)-1, &fd), -EADDRINUSE);
	(void)snprintf(other, sizeof(other), "%s/t.sock", dir);
	assert_int_equal(osh_ctl_listen(other, 0600, (gid_t)-1, &fd), 0);
	close(fd);
	assert_int_equal(osh_ctl_listen(other, 0600, (gid_t)-1, &fd2), 0);
	close(fd2);
	unlink(other);
	fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(osh_ctl_listen(other, 0600, (gid_t)-1, &fd2), -EEXIST);
	unlink(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_and_defaults),
		cmocka_unit_test(bad_parameters_are_named),
		cmocka_unit_test(errors_carry_message_and_hint),
		cmocka_unit_test(unknown_things_are_refused),
		cmocka_unit_test(service_describes_itself),
		cmocka_unit_test(more_gives_several_answers),
		cmocka_unit_test(oneway_and_pipelining_keep_order),
		cmocka_unit_test(descriptors_travel_with_their_message),
		cmocka_unit_test(leaving_peer_is_noticed),
		cmocka_unit_test(slow_reader_gets_back_pressure),
		cmocka_unit_test(garbage_ends_the_connection),
		cmocka_unit_test(oversized_message_ends_the_connection),
		cmocka_unit_test(listening_twice_is_refused_and_dead_sockets_are_replaced),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
