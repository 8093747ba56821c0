/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "audit/flood.h"
#include "audit/journal.h"

#define S 1000000000ull

static struct osh_rec deny(const char *host)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_DENY, S);
	osh_rec_set_z(&rec, OSH_REC_HOST, host);
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/usr/bin/curl");
	osh_rec_set_sandbox(&rec, OSH_STR("demo"));
	return rec;
}

static void datagrams_reach_a_journal_and_its_absence_is_counted(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct osh_journal *journal;
	struct osh_rec rec = deny("x.example");
	char dir[] = "/tmp/osh-jrn-XXXXXX", buf[8192];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	assert_int_equal(osh_journal_new(addr.sun_path, &journal), 0);
	assert_false(osh_journal_send(journal, &rec));
	assert_int_equal(osh_journal_lost(journal), 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_true(osh_journal_send(journal, &rec));
	assert_true(recv(fd, buf, sizeof(buf), 0) > 100);
	assert_int_equal(strncmp(buf, "MESSAGE=action=deny dst_host=x.example", 38), 0);
	close(fd);
	unlink(addr.sun_path);
	rmdir(dir);
	assert_false(osh_journal_send(journal, &rec));
	(void)osh_journal_free(journal);
}

static void flood_is_held_back_and_counted(void **state)
{
	struct osh_flood_config config = { .burst = 5, .per_s = 1 };
	struct osh_flood *flood;
	struct osh_rec rec = deny("x.example"), other = deny("y.example"), note;
	unsigned int passed = 0;
	bool noted;

	(void)state;
	assert_int_equal(osh_flood_new(&config, &flood), 0);
	for (int i = 0; i < 100; i++)
		passed += osh_flood_admit(flood, &rec, 10 * S, &note, &noted);
	assert_int_equal(passed, 5);
	assert_int_equal(osh_flood_total(flood), 95);
	/* another key is not affected */
	assert_true(osh_flood_admit(flood, &other, 10 * S, &note, &noted));
	assert_false(noted);
	/* the next one that passes brings the count */
	assert_true(osh_flood_admit(flood, &rec, 12 * S, &note, &noted));
	assert_true(noted);
	assert_int_equal(note.class, OSH_REC_SUPPRESSED);
	assert_int_equal(note.count, 95);
	assert_true(osh_str_is(osh_rec_get(&note, OSH_REC_HOST), "x.example"));
	assert_true(osh_str_is(osh_rec_get(&note, OSH_REC_SANDBOX_NAME), "demo"));
	assert_false(osh_flood_tick(flood, 20 * S, &note));
	(void)osh_flood_free(flood);
}

static void quiet_keys_are_reported_by_the_tick(void **state)
{
	struct osh_flood_config config = { .burst = 1, .per_s = 1 };
	struct osh_flood *flood;
	struct osh_rec rec = deny("x.example"), note;
	bool noted;

	(void)state;
	assert_int_equal(osh_flood_new(&config, &flood), 0);
	for (int i = 0; i < 4; i++)
		(void)osh_flood_admit(flood, &rec, 10 * S, &note, &noted);
	assert_false(osh_flood_tick(flood, 10 * S, &note));
	assert_true(osh_flood_tick(flood, 12 * S, &note));
	assert_int_equal(note.count, 3);
	assert_false(osh_flood_tick(flood, 12 * S, &note));
	(void)osh_flood_free(flood);
}

static void ever_new_keys_do_not_help(void **state)
{
	struct osh_flood_config config = { .burst = 5, .per_s = 1 };
	struct osh_flood *flood;
	unsigned int passed = 0;

	(void)state;
	assert_int_equal(osh_flood_new(&config, &flood), 0);
	for (int i = 0; i < 5000; i++) {
		struct osh_rec rec, note;
		char host[32];
		bool noted;

		(void)snprintf(host, sizeof(host), "h%d.example", i);
		rec = deny(host);
		passed += osh_flood_admit(flood, &rec, 10 * S, &note, &noted);
	}
	assert_int_equal(passed, 5 * 20);
	(void)osh_flood_free(flood);
}

static void important_records_always_pass(void **state)
{
	struct osh_flood_config config = { .burst = 1, .per_s = 1 };
	struct osh_flood *flood;
	struct osh_rec rec, note;
	bool noted;

	(void)state;
	assert_int_equal(osh_flood_new(&config, &flood), 0);
	osh_rec_init(&rec, OSH_REC_POLICY, OSH_REC_NOTE, S);
	for (int i = 0; i < 100; i++)
		assert_true(osh_flood_admit(flood, &rec, 10 * S, &note, &noted));
	(void)osh_flood_free(flood);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_reach_a_journal_and_its_absence_is_counted),
		cmocka_unit_test(flood_is_held_back_and_counted),
		cmocka_unit_test(quiet_keys_are_reported_by_the_tick),
		cmocka_unit_test(ever_new_keys_do_not_help),
		cmocka_unit_test(important_records_always_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
