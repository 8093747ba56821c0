/* SPDX-License-Identifier: MIT */
#include "tls/ca.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <setjmp.h>
#include <cmocka.h>

static X509 *parse(struct osh_str der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	assert_non_null(x);
	assert_ptr_equal(p, der.p + der.n);
	return x;
}

static EVP_PKEY *leaf_key(unsigned char spki[OSH_MINT_SPKI_BYTES])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *p = spki;

	assert_non_null(key);
	assert_int_equal(i2d_PUBKEY(key, &p), OSH_MINT_SPKI_BYTES);
	return key;
}

static X509 *mint(const struct osh_ca *ca, const char *host, int64_t from_s, int64_t to_s)
{
	unsigned char spki[OSH_MINT_SPKI_BYTES], der[OSH_MINT_MAX_BYTES];
	EVP_PKEY *key = leaf_key(spki);
	struct osh_mint_leaf leaf = { .host = osh_str(host),
				      .spki = { (const char *)spki, sizeof(spki) },
				      .serial = { 0xff, 0, 1 },
				      .not_before_s = from_s,
				      .not_after_s = to_s };
	size_t len = 0;
	X509 *x;

	assert_int_equal(osh_mint_leaf(ca, &leaf, der, &len), 0);
	x = parse((struct osh_str){ (const char *)der, len });
	assert_int_equal(X509_check_private_key(x, key), 1);
	EVP_PKEY_free(key);
	return x;
}

static int verify(const struct osh_ca *ca, X509 *leaf, const char *host, const char *ip)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = parse(osh_ca_cert_der(ca));
	int ok, err;

	X509_STORE_add_cert(store, root);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(ctx), X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx), 2);
	if (host)
		X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), host, 0);
	if (ip)
		X509_VERIFY_PARAM_set1_ip_asc(X509_STORE_CTX_get0_param(ctx), ip);
	ok = X509_verify_cert(ctx);
	err = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	return ok == 1 ? 0 : err;
}

static void leaf_verifies_strictly_for_its_name_only(void **state)
{
	osh_auto_ca struct osh_ca *ca = NULL;
	int64_t now = time(NULL);
	X509 *x;

	(void)state;
	assert_int_equal(osh_ca_create(now, &ca), 0);
	x = mint(ca, "api.github.com", now - 60, now + 3600);
	assert_int_equal(verify(ca, x, "api.github.com", NULL), 0);
	assert_int_equal(verify(ca, x, "github.com", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(X509_get_extension_flags(x) & EXFLAG_CA, 0);
	assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
	X509_free(x);
	x = mint(ca, "10.1.2.3", now - 60, now + 3600);
	assert_int_equal(verify(ca, x, NULL, "10.1.2.3"), 0);
	X509_free(x);
	x = mint(ca, "2001:db8::1", now - 60, now + 3600);
	assert_int_equal(verify(ca, x, NULL, "2001:db8::1"), 0);
	X509_free(x);
}

static void long_names_live_in_the_san(void **state)
{
	osh_auto_ca struct osh_ca *ca = NULL;
	const char *host = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
			   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
			   "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc."
			   "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.e";
	int64_t now = time(NULL);
	X509 *x;

	(void)state;
	assert_int_equal(strlen(host), OSH_MINT_HOST_MAX);
	assert_int_equal(osh_ca_create(now, &ca), 0);
	x = mint(ca, host, now - 60, now + 3600);
	assert_int_equal(verify(ca, x, host, NULL), 0);
	X509_free(x);
}

static void dates_beyond_2049_are_generalized(void **state)
{
	osh_auto_ca struct osh_ca *ca = NULL;
	int64_t now = time(NULL);
	X509 *x;

	(void)state;
	assert_int_equal(osh_ca_create(now, &ca), 0);
	x = mint(ca, "a.example", now - 60, 2600000000LL);
	assert_int_equal(X509_cmp_time(X509_get0_notAfter(x), &(time_t){ 2599999999LL }), 1);
	assert_int_equal(verify(ca, x, "a.example", NULL), 0);
	X509_free(x);
	x = mint(ca, "a.example", now - 7200, now - 3600);
	assert_int_equal(verify(ca, x, "a.example", NULL), X509_V_ERR_CERT_HAS_EXPIRED);
	X509_free(x);
}

static void bad_hosts_and_keys_are_refused(void **state)
{
	static const char *const bad[] = {
		"",  ".",	"a..b", "a.",	 ".a",	"A.example",	  "a b",  "a/b",
		"*", "*.a.com", "a\nb", "[::1]", "a,b", "caf\xc3\xa9.fr", "a:80", "1.2.3.4:5"
	};
	osh_auto_ca struct osh_ca *ca = NULL;
	unsigned char spki[OSH_MINT_SPKI_BYTES], der[OSH_MINT_MAX_BYTES];
	EVP_PKEY *key = leaf_key(spki);
	struct osh_mint_leaf leaf = { .spki = { (const char *)spki, sizeof(spki) },
				      .not_after_s = 1 };
	size_t len;

	(void)state;
	assert_int_equal(osh_ca_create(time(NULL), &ca), 0);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		leaf.host = osh_str(bad[i]);
		assert_int_equal(osh_mint_leaf(ca, &leaf, der, &len), -EINVAL);
	}
	leaf.host = OSH_STR("a\0.example");
	assert_int_equal(osh_mint_leaf(ca, &leaf, der, &len), -EINVAL);
	leaf.host = OSH_STR("a.example");
	spki[3] ^= 1;
	assert_int_equal(osh_mint_leaf(ca, &leaf, der, &len), -EINVAL);
	leaf.spki.n--;
	assert_int_equal(osh_mint_leaf(ca, &leaf, der, &len), -EINVAL);
	EVP_PKEY_free(key);
}

static void ca_survives_a_round_trip_through_its_file(void **state)
{
	osh_auto_ca struct osh_ca *ca = NULL, *back = NULL, *none = NULL;
	osh_auto_close int dir = -1, fd = -1;
	char path[] = "/tmp/osh-ca-XXXXXX";
	int64_t now = time(NULL);
	struct stat st;
	X509 *x;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(osh_ca_create(now, &ca), 0);
	assert_int_equal(osh_ca_load(dir, OSH_STR("demo"), &none), -ENOENT);
	assert_int_equal(osh_ca_save(ca, dir, OSH_STR("../demo")), -EINVAL);
	assert_int_equal(osh_ca_save(ca, dir, OSH_STR("demo")), 0);
	assert_int_equal(fstatat(dir, "demo.ca", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(osh_ca_load(dir, OSH_STR("demo"), &back), 0);
	assert_true(osh_str_eq(osh_ca_cert_pem(ca), osh_ca_cert_pem(back)));
	x = mint(back, "a.example", now - 60, now + 3600);
	assert_int_equal(verify(ca, x, "a.example", NULL), 0);
	X509_free(x);

	fd = openat(dir, "bad.ca", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "-----BEGIN", 10), 10);
	assert_int_equal(osh_ca_load(dir, OSH_STR("bad"), &none), -EBADMSG);
	assert_int_equal(osh_ca_remove(dir, OSH_STR("demo")), 0);
	assert_int_equal(osh_ca_remove(dir, OSH_STR("demo")), 0);
	assert_int_equal(osh_ca_load(dir, OSH_STR("demo"), &none), -ENOENT);
	unlinkat(dir, "bad.ca", 0);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaf_verifies_strictly_for_its_name_only),
		cmocka_unit_test(long_names_live_in_the_san),
		cmocka_unit_test(dates_beyond_2049_are_generalized),
		cmocka_unit_test(bad_hosts_and_keys_are_refused),
		cmocka_unit_test(ca_survives_a_round_trip_through_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
