/* SPDX-License-Identifier: Apache-2.0 */
/* cayd's command line: one table for parsing, defaults and help. */
#include "daemon/options.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/process.h"
#include "image/address.h"
#include "image/certs.h"
#include "image/registry.h"

#include <errno.h>

enum { CONCURRENT_MAX = 16, POOL_MAX = 64 };

enum option_kind { OPTION_STRING, OPTION_LIST, OPTION_FLAG };

struct option_row {
	const char *name;
	enum option_kind kind;
	size_t offset;
	const char *value;   /* what stands for the value in the help */
	const char *initial; /* the default, or NULL */
	const char *help;
};

#define FIELD(member) offsetof(struct daemon_options, member)

static const struct option_row rows[] = {
	{ "root", OPTION_STRING, FIELD(root), "DIR", "/var/lib/cay",
	  "lasting state: images, containers, the database" },
	{ "run", OPTION_STRING, FIELD(run), "DIR", "/run/cay", "sockets and pids" },
	{ "host", OPTION_STRING, FIELD(host), "URL", NULL,
	  "where to listen: unix:///PATH (default: unix://RUN/cay.sock)" },
	{ "kernel", OPTION_STRING, FIELD(kernel), "FILE", NULL,
	  "the guests' kernel (default: vmlinux beside cayd)" },
	{ "initramfs", OPTION_STRING, FIELD(initramfs), "FILE", NULL,
	  "the guests' initramfs (default: initramfs.cpio beside cayd)" },
	{ "shim", OPTION_STRING, FIELD(shim), "FILE", NULL,
	  "the program that owns a VM (default: cay-shim beside cayd)" },
	{ "files", OPTION_STRING, FIELD(files), "FILE", NULL,
	  "the program that serves shared directories (default: cay-files beside cayd)" },
	{ "layer-worker", OPTION_STRING, FIELD(layer_worker), "FILE", NULL,
	  "the program that unpacks layers (default: cay-layer beside cayd)" },
	{ "qemu", OPTION_STRING, FIELD(qemu), "FILE", NULL,
	  "the emulator (default: qemu-system-x86_64 in PATH)" },
	{ "accel", OPTION_STRING, FIELD(accel), "NAME", "auto",
	  "kvm, tcg, or auto: kvm where a guest really runs with it" },
	{ "memory-default", OPTION_STRING, FIELD(memory_default), "SIZE", "1g",
	  "memory of a VM whose container has no limit" },
	{ "templates", OPTION_STRING, FIELD(templates), "on|off", "on",
	  "start containers from VMs that were frozen once they had booted" },
	{ "translations", OPTION_STRING, FIELD(translations), "on|off", "on",
	  "keep what QEMU translates when it emulates a guest, for the next starts" },
	{ "pool", OPTION_STRING, FIELD(pool), "N", "2",
	  "VMs of the usual size that are kept ready for containers; 0: none" },
	{ "pool-memory", OPTION_STRING, FIELD(pool_memory), "SIZE", "512m",
	  "memory of this host that they may take altogether" },
	{ "warm-program", OPTION_STRING, FIELD(warm_program), "FILE", NULL,
	  "the program they warm themselves up with (default: cay-warm beside cayd)" },
	{ "insecure-registry", OPTION_LIST, FIELD(insecure_registries), "HOST", NULL,
	  "use plain HTTP or unverified TLS for this HOST[:PORT] or network; may be repeated" },
	{ "registry-mirror", OPTION_LIST, FIELD(registry_mirrors), "URL", NULL,
	  "a server to be asked before Docker Hub; may be repeated" },
	{ "registry-certs", OPTION_LIST, FIELD(certs_folders), "DIR", NULL,
	  "certificates, by HOST[:PORT]; may be repeated (default: /etc/cay/certs.d, "
	  "/etc/docker/certs.d)" },
	{ "max-concurrent-downloads", OPTION_STRING, FIELD(downloads), "N", "3",
	  "layers of a pull that are fetched at once" },
	{ "max-concurrent-uploads", OPTION_STRING, FIELD(uploads), "N", "5",
	  "layers of a push that are sent at once" },
	{ "log-level", OPTION_STRING, FIELD(log_level), "LEVEL", "info",
	  "error, warning, info or debug" },
	{ "version", OPTION_FLAG, FIELD(version), NULL, NULL, "print the version and end" },
	{ "help", OPTION_FLAG, FIELD(help), NULL, NULL, "print this text and end" },
};

void daemon_options_help(void)
{
	printf("Usage: cayd [OPTION]...\n"
	       "The daemon that runs containers, each in a VM of its own.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char left[64];

		(void)snprintf(left, sizeof(left), "--%s %s", rows[i].name,
			       rows[i].value ? rows[i].value : "");
		printf("  %-34s %s", left, rows[i].help);
		if (rows[i].initial)
			printf(" (default: %s)", rows[i].initial);
		putchar('\n');
	}
}

static const struct option_row *find_row(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
			return &rows[i];
	return NULL;
}

static void set_row(struct daemon_options *options, const struct option_row *row, const char *value)
{
	void *field = (char *)options + row->offset;

	switch (row->kind) {
	case OPTION_STRING:
		replace_string(field, value);
		break;
	case OPTION_LIST:
		strv_add(field, value);
		break;
	case OPTION_FLAG:
		*(bool *)field = true;
		break;
	}
}

static int parse_arguments(struct daemon_options *options, int argc, char **argv,
			   struct cay_error *err)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2, *equals = strchr(argv[i], '=');
		const struct option_row *row = NULL;

		if (starts_with(argv[i], "--"))
			row = find_row(name, equals ? (size_t)(equals - name) : strlen(name));
		if (!row)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "unknown argument \"%s\"; see cayd --help", argv[i]);
		if (row->kind == OPTION_FLAG && equals)
			return cay_error_set(err, CAY_INVALID, EINVAL, "--%s takes no value",
					     row->name);
		if (row->kind != OPTION_FLAG && !equals && ++i >= argc)
			return cay_error_set(err, CAY_INVALID, EINVAL, "--%s needs a value",
					     row->name);
		set_row(options, row, equals ? equals + 1 : argv[i]);
	}
	return 0;
}

static void default_part(char **field, const char *name)
{
	if (!*field)
		*field = process_find_part(name);
}

/* Paths end up in other programs' configuration, whose working directory is not ours. */
static int make_absolute(char **field, struct cay_error *err)
{
	_cleanup_free_ char *here = NULL;
	char *path;

	if (!*field || (*field)[0] == '/')
		return 0;
	here = getcwd(NULL, 0);
	if (!here)
		return cay_error_errno(err, errno, "finding the working directory");
	path = path_join(here, *field);
	free(*field);
	*field = path;
	return 0;
}

static int read_count(const char *name, const char *text, unsigned int min, unsigned int max,
		      unsigned int *ret_count, struct cay_error *err)
{
	uint64_t count;

	if (parse_u64(text, max, &count) < 0 || count < min)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--%s: \"%s\" is not a number from %u to %u", name, text, min,
				     max);
	*ret_count = (unsigned int)count;
	return 0;
}

/* What says how registries are spoken to. */
static int check_registries(struct daemon_options *options, struct cay_error *err)
{
	int r = read_count("max-concurrent-downloads", options->downloads, 1, CONCURRENT_MAX,
			   &options->max_downloads, err);

	if (r == 0)
		r = read_count("max-concurrent-uploads", options->uploads, 1, CONCURRENT_MAX,
			       &options->max_uploads, err);
	for (size_t i = 0; r == 0 && i < options->registry_mirrors.count; i++) {
		r = registry_check_mirror(options->registry_mirrors.items[i], err);
		if (r < 0)
			(void)cay_error_prefix(err, "--registry-mirror: \"%s\"",
					       options->registry_mirrors.items[i]);
	}
	for (size_t i = 0; r == 0 && i < options->insecure_registries.count; i++) {
		const char *entry = options->insecure_registries.items[i];

		if (!network_is_valid(entry) && !certs_name_is_valid(entry))
			r = cay_error_set(err, CAY_INVALID, EINVAL,
					  "--insecure-registry: \"%s\" is not HOST[:PORT] or "
					  "ADDRESS/BITS",
					  entry);
	}
	return r;
}

static int read_switch(const char *name, const char *text, bool *ret_is_on, struct cay_error *err)
{
	*ret_is_on = strcmp(text, "on") == 0;
	if (!*ret_is_on && strcmp(text, "off") != 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not on or off",
				     name, text);
	return 0;
}

static int check_warm_start(struct daemon_options *options, struct cay_error *err)
{
	int r = read_switch("templates", options->templates, &options->use_templates, err);

	if (r == 0)
		r = read_switch("translations", options->translations, &options->use_translations,
				err);
	if (r < 0)
		return r;
	if (parse_size(options->pool_memory, &options->pool_memory_bytes) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--pool-memory: \"%s\" is not a size", options->pool_memory);
	return read_count("pool", options->pool, 0, POOL_MAX, &options->pool_size, err);
}

static int check(struct daemon_options *options, struct cay_error *err)
{
	enum log_level level;
	int r;

	if (parse_size(options->memory_default, &options->memory_default_bytes) < 0 ||
	    options->memory_default_bytes < 64 * MIB)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--memory-default: \"%s\" is not a size of 64m or more",
				     options->memory_default);
	if (strcmp(options->accel, "auto") != 0 && strcmp(options->accel, "kvm") != 0 &&
	    strcmp(options->accel, "tcg") != 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--accel: \"%s\" is not auto, kvm or tcg", options->accel);
	if (log_level_parse(options->log_level, &level) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--log-level: \"%s\" is not error, warning, info or debug",
				     options->log_level);
	if (!starts_with(options->host, "unix:///"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--host: \"%s\" is not unix:///PATH",
				     options->host);
	r = check_warm_start(options, err);
	return r < 0 ? r : check_registries(options, err);
}

int daemon_options_parse(struct daemon_options *options, int argc, char **argv,
			 struct cay_error *err)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].initial)
			set_row(options, &rows[i], rows[i].initial);
	r = parse_arguments(options, argc, argv, err);
	if (r < 0)
		return r;
	char **const paths[] = { &options->root,         &options->run,         &options->kernel,
				 &options->initramfs,    &options->shim,        &options->files,
				 &options->layer_worker, &options->warm_program };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		r = make_absolute(paths[i], err);
		if (r < 0)
			return r;
	}
	if (options->certs_folders.count == 0) {
		strv_add(&options->certs_folders, "/etc/cay/certs.d");
		strv_add(&options->certs_folders, "/etc/docker/certs.d");
	}
	if (!options->host)
		options->host = xasprintf("unix://%s/cay.sock", options->run);
	default_part(&options->kernel, "vmlinux");
	default_part(&options->initramfs, "initramfs.cpio");
	default_part(&options->shim, "cay-shim");
	default_part(&options->files, "cay-files");
	default_part(&options->layer_worker, "cay-layer");
	default_part(&options->warm_program, "cay-warm");
	return check(options, err);
}

void daemon_options_done(struct daemon_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		void *field = (char *)options + rows[i].offset;

		if (rows[i].kind == OPTION_STRING)
			replace_string(field, NULL);
		else if (rows[i].kind == OPTION_LIST)
			strv_done(field);
	}
}
