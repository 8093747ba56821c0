/* SPDX-License-Identifier: MIT */
/*
 * The proxy and signer roles for a script: stage CONFIG-JSON POLICY.yaml
 *
 * Prints "port N", then a line for each event: class, verdict, reason, flow, host, port, method,
 * path, separated by TABs. Reads commands, one per line, and answers each with "ok":
 *	explicit | transparent HOST PORT    what connections from now on are
 *	policy FILE
 *	quiet                               wait until no client is connected
 *	stat NAME                           "stat NAME VALUE"
 * Ends with its input.
 */
#include "harness.h"

#include "base/reason.h"

#include <poll.h>
#include <stdio.h>

static struct harness *h;

static void put(const struct osh_rec *r, enum osh_rec_field field)
{
	struct osh_str s = osh_rec_get(r, field);

	printf("\t%.*s", OSH_STR_FMT(s));
}

static void on_event(const struct osh_rec *r)
{
	flockfile(stdout);
	printf("event\t%s\t%s\t%s\t%llu\t%u", osh_rec_class_name(r->class),
	       osh_rec_verdict_name(r->verdict), osh_reason_token((enum osh_reason)r->reason),
	       (unsigned long long)r->flow, r->port);
	put(r, OSH_REC_HOST);
	put(r, OSH_REC_METHOD);
	put(r, OSH_REC_PATH);
	putchar('\n');
	funlockfile(stdout);
}

static void wait_quiet(void)
{
	for (int waited = 0; harness_stat(h, "connections"); waited += 10) {
		if (waited > 5000)
			die("connections are left over");
		(void)poll(NULL, 0, 10);
	}
}

static void command(char *line)
{
	char *word = strsep(&line, " "), *arg = strsep(&line, " ");

	if (!strcmp(word, "explicit")) {
		harness_explicit(h, 1);
	} else if (!strcmp(word, "transparent") && arg && line) {
		harness_transparent(h, 1, arg, (uint16_t)strtoul(line, NULL, 10));
	} else if (!strcmp(word, "policy") && arg) {
		harness_policy(h, arg);
	} else if (!strcmp(word, "quiet")) {
		wait_quiet();
	} else if (!strcmp(word, "stat") && arg) {
		printf("stat\t%s\t%llu\n", arg, (unsigned long long)harness_stat(h, arg));
	} else {
		die("stage: unknown command %s", word);
	}
	puts("ok");
}

int main(int argc, char **argv)
{
	char line[1024];

	if (argc != 3)
		die("usage: stage CONFIG-JSON POLICY.yaml");
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	h = harness_start(argv[1]);
	harness_events_tap(h, on_event);
	harness_policy(h, argv[2]);
	harness_explicit(h, 1);
	printf("port\t%u\n", harness_port(h));
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		command(line);
	}
	harness_stop(h);
	return 0;
}
