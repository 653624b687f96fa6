/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for registries. */
#include "image/certs.h"

#include "base/alloc.h"
#include "base/file.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>

enum { NAME_MAX_LENGTH = 255, FILE_MAX = MIB, BUNDLE_MAX = 8 * MIB };

void certs_done(struct certs *certs)
{
	buf_done(&certs->authorities);
	free(certs->certificate);
	free(certs->key);
	*certs = (struct certs){ 0 };
}

bool certs_name_is_valid(const char *name)
{
	const size_t length = strlen(name);
	const char *port = strrchr(name, ':');
	size_t host = length;
	uint64_t number;

	if (port && name[0] == '[' && port[-1] != ']')
		port = NULL; /* a colon of the address */
	if (port) {
		host = (size_t)(port - name);
		if (parse_u64(port + 1, UINT16_MAX, &number) < 0)
			return false;
	}
	if (length > NAME_MAX_LENGTH || host == 0)
		return false;
	if (name[0] == '[') {
		/* At least "[::]". */
		return host >= 4 && name[host - 1] == ']' &&
			strspn(name + 1, "0123456789abcdefABCDEF:.") == host - 2;
	}
	for (size_t i = 0; i < host; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '.' && name[i] != '-' &&
		    name[i] != '_')
			return false;
	return name[0] != '.';
}

static bool has_certificate(const struct buf *text)
{
	BIO *bio = BIO_new_mem_buf(text->data, (int)text->length);
	X509 *first = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	const bool found = first != NULL;

	X509_free(first);
	BIO_free_all(bio);
	ERR_clear_error(); /* what it held against the file is told in our words */
	return found;
}

/* Adds one *.crt; the system's own come in front of the first. */
static int add_authority(struct certs *certs, const char *path, struct cay_error *err)
{
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
	_cleanup_buf_ struct buf text = { 0 };
	int r = file_read(path, FILE_MAX, &text, err);

	if (r < 0)
		return r;
	if (!has_certificate(&text))
		return cay_error_set(err, CAY_INVALID, EBADMSG, "%s holds no certificate (PEM)",
				     path);
	if (certs->authorities.length == 0 && curl->cainfo && file_exists(curl->cainfo))
		r = file_read(curl->cainfo, BUNDLE_MAX, &certs->authorities, err);
	if (r < 0)
		return r;
	buf_putc(&certs->authorities, '\n');
	buf_append(&certs->authorities, text.data, text.length);
	return 0;
}

/* "x.cert" asks for "x.key", and the reverse: the path of what is given and of what belongs to it.
 */
static int find_partner(const char *path, const char *ending, const char *other, const char *what,
			char **ret_partner, struct cay_error *err)
{
	_cleanup_free_ char *partner =
		xasprintf("%.*s%s", (int)(strlen(path) - strlen(ending)), path, other);

	if (!file_exists(partner))
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "%s: its %s, %s, is missing (authorities have names in .crt)",
				     path, what, path_last(partner));
	*ret_partner = TAKE_PTR(partner);
	return 0;
}

static int read_entry(struct certs *certs, const char *folder, const char *name,
		      struct cay_error *err)
{
	_cleanup_free_ char *path = path_join(folder, name), *partner = NULL;
	int r = 0;

	if (ends_with(name, ".crt"))
		return add_authority(certs, path, err);
	if (ends_with(name, ".key"))
		return find_partner(path, ".key", ".cert", "certificate", &partner, err);
	if (!ends_with(name, ".cert"))
		return 0;
	r = find_partner(path, ".cert", ".key", "key", &partner, err);
	/* One is sent; of several, the first by name. */
	if (r == 0 && !certs->certificate) {
		certs->certificate = TAKE_PTR(path);
		certs->key = TAKE_PTR(partner);
	}
	return r;
}

static int load_folder(const char *folder, struct certs *ret_certs, struct cay_error *err)
{
	_cleanup_certs_ struct certs certs = { 0 };
	struct dirent **list = NULL;
	int count = scandir(folder, &list, NULL, alphasort), r = 0;

	if (count < 0)
		return errno == ENOTDIR ? 0 : cay_error_errno(err, errno, "reading %s", folder);
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = read_entry(&certs, folder, list[i]->d_name, err);
		free(list[i]);
	}
	free(list);
	if (r < 0)
		return r;
	*ret_certs = certs;
	certs = (struct certs){ 0 };
	return 0;
}

int certs_load(const struct strv *folders, const char *name, struct certs *ret_certs,
	       struct cay_error *err)
{
	if (!certs_name_is_valid(name))
		return 0;
	for (size_t i = 0; folders && i < folders->count; i++) {
		_cleanup_free_ char *folder = path_join(folders->items[i], name);

		if (file_exists(folder))
			return load_folder(folder, ret_certs, err);
	}
	return 0;
}
