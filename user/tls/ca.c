/* SPDX-License-Identifier: MIT */
#include "tls/ca.h"

#include "base/buf.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 8192 };

struct osh_ca {
	EVP_PKEY *key;
	unsigned char key_id[OSH_MINT_KEY_ID_BYTES];
	unsigned char der[OSH_MINT_MAX_BYTES];
	size_t der_len;
	char pem[OSH_CA_CERT_PEM_MAX];
	size_t pem_len;
};

bool osh_ca_name_is_valid(struct osh_str name)
{
	if (!name.n || name.n > OSH_CA_NAME_MAX || name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!osh_is_digit(name.p[i]) && !(name.p[i] >= 'a' && name.p[i] <= 'z') &&
		    name.p[i] != '-')
			return false;
	return true;
}

struct osh_ca *osh_ca_free(struct osh_ca *ca)
{
	if (ca) {
		EVP_PKEY_free(ca->key); /* wipes the private part */
		free(ca);
	}
	return NULL;
}

struct osh_str osh_ca_cert_pem(const struct osh_ca *ca)
{
	return (struct osh_str){ ca->pem, ca->pem_len };
}

struct osh_str osh_ca_cert_der(const struct osh_ca *ca)
{
	return (struct osh_str){ (const char *)ca->der, ca->der_len };
}

const unsigned char *osh_ca_key_id(const struct osh_ca *ca)
{
	return ca->key_id;
}

int osh_ca_sign(const struct osh_ca *ca, struct osh_str tbs, unsigned char ret_sig[OSH_CA_SIG_MAX],
		size_t *ret_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = OSH_CA_SIG_MAX;
	int r = 0;

	if (!ctx)
		return -ENOMEM;
	if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, ca->key) <= 0 ||
	    EVP_DigestSign(ctx, ret_sig, &n, (const unsigned char *)tbs.p, tbs.n) <= 0)
		r = -EIO;
	EVP_MD_CTX_free(ctx);
	if (!r)
		*ret_len = n;
	return r;
}

static int spki_of(EVP_PKEY *key, unsigned char ret_spki[OSH_MINT_SPKI_BYTES])
{
	unsigned char *p = ret_spki;

	if (i2d_PUBKEY(key, NULL) != OSH_MINT_SPKI_BYTES)
		return -EBADMSG;
	return i2d_PUBKEY(key, &p) == OSH_MINT_SPKI_BYTES ? 0 : -EIO;
}

/* Fill der and pem from a DER certificate. */
static int set_cert(struct osh_ca *ca, const unsigned char *der, size_t len)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int r = 0;

	if (!bio)
		return -ENOMEM;
	if (len > sizeof(ca->der) || PEM_write_bio(bio, PEM_STRING_X509, "", der, (long)len) <= 0) {
		r = -EIO;
	} else {
		n = BIO_get_mem_data(bio, &text);
		if (n <= 0 || (size_t)n > sizeof(ca->pem)) {
			r = -EMSGSIZE;
		} else {
			memcpy(ca->pem, text, (size_t)n);
			ca->pem_len = (size_t)n;
			memcpy(ca->der, der, len);
			ca->der_len = len;
		}
	}
	BIO_free(bio);
	return r;
}

int osh_ca_create(int64_t now_s, struct osh_ca **ret_ca)
{
	osh_auto_ca struct osh_ca *ca = calloc(1, sizeof(*ca));
	unsigned char spki[OSH_MINT_SPKI_BYTES], serial[OSH_MINT_SERIAL_BYTES];
	unsigned char der[OSH_MINT_MAX_BYTES];
	struct osh_str spki_str = { (const char *)spki, sizeof(spki) };
	size_t len = 0;
	int r;

	if (!ca)
		return -ENOMEM;
	ca->key = EVP_EC_gen("P-256");
	if (!ca->key || RAND_bytes(serial, sizeof(serial)) != 1)
		return -EIO;
	r = spki_of(ca->key, spki);
	if (!r)
		r = osh_mint_key_id(spki_str, ca->key_id);
	if (!r)
		r = osh_mint_ca(ca, spki_str, serial, now_s - 86400, now_s + OSH_CA_VALIDITY_S, der,
				&len);
	if (!r)
		r = set_cert(ca, der, len);
	if (r)
		return r;
	*ret_ca = osh_take_ptr(&ca);
	return 0;
}

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1; /* never ask on a terminal */
}

/* The certificate must be for the key beside it: a mixed-up file would sign what nobody trusts. */
static int read_pair(struct osh_ca *ca, BIO *bio)
{
	unsigned char spki[OSH_MINT_SPKI_BYTES], der[OSH_MINT_MAX_BYTES], *p = der;
	X509 *cert;
	int len, r;

	ca->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	if (!ca->key || !cert || X509_check_private_key(cert, ca->key) != 1 ||
	    X509_check_ca(cert) < 1) {
		X509_free(cert);
		return -EBADMSG;
	}
	len = i2d_X509(cert, NULL);
	if (len <= 0 || (size_t)len > sizeof(der) || i2d_X509(cert, &p) != len) {
		X509_free(cert);
		return -EBADMSG;
	}
	X509_free(cert);
	r = spki_of(ca->key, spki);
	if (!r)
		r = osh_mint_key_id((struct osh_str){ (const char *)spki, sizeof(spki) },
				    ca->key_id);
	return r ? r : set_cert(ca, der, (size_t)len);
}

static int file_name(struct osh_str name, const char *suffix, char ret_name[OSH_CA_NAME_MAX + 16])
{
	if (!osh_ca_name_is_valid(name))
		return -EINVAL;
	snprintf(ret_name, OSH_CA_NAME_MAX + 16, "%.*s%s", OSH_STR_FMT(name), suffix);
	return 0;
}

int osh_ca_load(int dirfd, struct osh_str name, struct osh_ca **ret_ca)
{
	osh_auto_ca struct osh_ca *ca = NULL;
	osh_auto_bufmem struct osh_buf text;
	osh_auto_close int fd = -1;
	char path[OSH_CA_NAME_MAX + 16];
	BIO *bio;
	int r;

	osh_buf_init(&text, FILE_MAX_BYTES, OSH_BUF_SECRET);
	r = file_name(name, ".ca", path);
	if (r < 0)
		return r;
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = osh_buf_read_all(&text, fd);
	if (r < 0)
		return r == -EMSGSIZE ? -EBADMSG : r;
	ca = calloc(1, sizeof(*ca));
	bio = BIO_new_mem_buf(text.len ? text.data : "", (int)text.len);
	if (!ca || !bio) {
		BIO_free(bio);
		return -ENOMEM;
	}
	r = read_pair(ca, bio);
	BIO_free(bio);
	if (r < 0)
		return r;
	*ret_ca = osh_take_ptr(&ca);
	return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int osh_ca_save(const struct osh_ca *ca, int dirfd, struct osh_str name)
{
	osh_auto_close int fd = -1;
	char path[OSH_CA_NAME_MAX + 16], temp[OSH_CA_NAME_MAX + 16];
	BIO *bio;
	char *text;
	long n;
	int r;

	r = file_name(name, ".ca", path);
	if (!r)
		r = file_name(name, ".ca.tmp", temp);
	if (r < 0)
		return r;
	bio = BIO_new(BIO_s_secmem());
	if (!bio)
		return -ENOMEM;
	if (PEM_write_bio_PrivateKey(bio, ca->key, NULL, NULL, 0, NULL, NULL) != 1) {
		BIO_free(bio);
		return -EIO;
	}
	(void)unlinkat(dirfd, temp, 0); /* left behind by a crash, or absent */
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = -errno;
		BIO_free(bio);
		return r;
	}
	n = BIO_get_mem_data(bio, &text);
	r = n > 0 ? write_all(fd, text, (size_t)n) : -EIO;
	BIO_free(bio);
	if (!r)
		r = write_all(fd, ca->pem, ca->pem_len);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (!r && renameat(dirfd, temp, dirfd, path) < 0)
		r = -errno;
	if (!r && fsync(dirfd) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temp, 0); /* the error that matters is @r */
	return r;
}

int osh_ca_remove(int dirfd, struct osh_str name)
{
	char path[OSH_CA_NAME_MAX + 16];
	int r = file_name(name, ".ca", path);

	if (r < 0)
		return r;
	if (unlinkat(dirfd, path, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}
