/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all containers and their names. */
#include "daemon/containers.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <sys/random.h>

enum {
	/* A range far above people's and services' own, below 2^31. */
	VM_UID_FIRST = 2000000000,
	VM_UID_COUNT = 147000000,
	NAME_TRIES = 100,
};

struct reservation {
	char *name;
	char id[ID_SIZE];
};

struct containers {
	pthread_mutex_t lock;
	struct container **items; /* oldest first */
	size_t count;
	struct reservation *names;
	size_t name_count;
};

struct containers *containers_new(void)
{
	struct containers *containers = xcalloc(1, sizeof(*containers));

	(void)pthread_mutex_init(&containers->lock, NULL);
	return containers;
}

void containers_free(struct containers *containers)
{
	if (!containers)
		return;
	for (size_t i = 0; i < containers->count; i++)
		container_unref(containers->items[i]);
	for (size_t i = 0; i < containers->name_count; i++)
		free(containers->names[i].name);
	free(containers->items);
	free(containers->names);
	(void)pthread_mutex_destroy(&containers->lock);
	free(containers);
}

static unsigned int random_below(unsigned int bound)
{
	unsigned int number = 0;

	(void)!getrandom(&number, sizeof(number), 0); /* a few bytes never fail once it is up */
	return number % bound;
}

/* With the lock held. */
static struct reservation *find_name(struct containers *containers, const char *name)
{
	for (size_t i = 0; i < containers->name_count; i++)
		if (strcmp(containers->names[i].name, name) == 0)
			return &containers->names[i];
	return NULL;
}

static void add_name(struct containers *containers, const char *name, const char *id)
{
	struct reservation *row;

	containers->names = xreallocarray(containers->names, containers->name_count + 1,
					  sizeof(*containers->names));
	row = &containers->names[containers->name_count++];
	row->name = xstrdup(name);
	(void)snprintf(row->id, sizeof(row->id), "%s", id);
}

static void drop_name(struct containers *containers, const char *name, const char *id)
{
	struct reservation *row = find_name(containers, name);

	if (!row || strcmp(row->id, id) != 0)
		return;
	free(row->name);
	*row = containers->names[--containers->name_count];
}

/* Two words, such as "windy_skye"; after many collisions a number follows. */
static char *make_name(struct containers *containers)
{
	static const char *const moods[] = {
		"ample",  "balmy",   "blue",    "bold",  "breezy", "bright", "calm",   "clear",
		"cosy",   "daring",  "distant", "early", "fair",   "far",    "fond",   "free",
		"gentle", "glad",    "golden",  "grand", "green",  "hardy",  "hazy",   "hidden",
		"high",   "jolly",   "keen",    "kind",  "late",   "light",  "lofty",  "lone",
		"lucid",  "lucky",   "mellow",  "merry", "mild",   "misty",  "neat",   "noble",
		"odd",    "patient", "plain",   "proud", "quick",  "quiet",  "rare",   "ready",
		"roomy",  "rosy",    "rugged",  "salty", "sandy",  "serene", "silent", "sleepy",
		"snug",   "steady",  "stony",   "sunny", "tidal",  "tidy",   "warm",   "windy",
	};
	static const char *const islands[] = {
		"aldabra", "amrum",  "anafi",   "aran",  "arran",    "askoy",  "bali",  "barra",
		"bora",    "bute",   "capri",   "cebu",  "chios",    "coll",   "corfu", "corvo",
		"crete",   "delos",  "elba",    "eigg",  "faial",    "faro",   "fiji",  "flores",
		"foula",   "fyn",    "gomera",  "gozo",  "graciosa", "guam",   "hydra", "ibiza",
		"iona",    "ischia", "islay",   "java",  "jura",     "kauai",  "kos",   "leros",
		"lewis",   "lipari", "lismore", "lundy", "madeira",  "mahe",   "malta", "maui",
		"mull",    "naxos",  "niue",    "oahu",  "paros",    "pico",   "rhum",  "rugen",
		"samos",   "samoa",  "sark",    "skye",  "tiree",    "tobago", "unst",  "ven",
	};

	for (unsigned int try = 0;; try++) {
		const char *mood = moods[random_below(ARRAY_SIZE(moods))];
		const char *island = islands[random_below(ARRAY_SIZE(islands))];
		char *name = try < NAME_TRIES
			? xasprintf("%s_%s", mood, island)
			: xasprintf("%s_%s%u", mood, island, random_below(1000000));

		if (!find_name(containers, name))
			return name;
		free(name);
	}
}

int containers_reserve(struct containers *containers, const char *name, const char *id,
		       char **ret_name, struct cay_error *err)
{
	_cleanup_free_ char *made = NULL;
	const struct reservation *taken;
	int r = 0;

	if (name && name[0] == '/')
		name++;
	if (name && !name_is_valid(name))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Invalid container name (%.300s), only "
				     "[a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
				     name);
	(void)pthread_mutex_lock(&containers->lock);
	if (!name) {
		made = make_name(containers);
		name = made;
	}
	taken = find_name(containers, name);
	if (taken)
		r = cay_error_set(err, CAY_EXISTS, EEXIST,
				  "Conflict. The container name \"/%s\" is already in use by "
				  "container \"%s\". You have to remove (or rename) that container "
				  "to be able to reuse that name.",
				  name, taken->id);
	else
		add_name(containers, name, id);
	(void)pthread_mutex_unlock(&containers->lock);
	if (r == 0)
		*ret_name = xstrdup(name);
	return r;
}

void containers_release(struct containers *containers, const char *name, const char *id)
{
	(void)pthread_mutex_lock(&containers->lock);
	drop_name(containers, name, id);
	(void)pthread_mutex_unlock(&containers->lock);
}

void containers_add(struct containers *containers, struct container *container)
{
	(void)pthread_mutex_lock(&containers->lock);
	containers->items =
		xreallocarray(containers->items, containers->count + 1, sizeof(*containers->items));
	containers->items[containers->count++] = container_ref(container);
	(void)pthread_mutex_unlock(&containers->lock);
}

void containers_remove(struct containers *containers, struct container *container)
{
	bool found = false;

	(void)pthread_mutex_lock(&containers->lock);
	for (size_t i = 0; i < containers->count && !found; i++) {
		if (containers->items[i] != container)
			continue;
		found = true;
		containers->count--;
		memmove(&containers->items[i], &containers->items[i + 1],
			(containers->count - i) * sizeof(*containers->items));
		drop_name(containers, container->name, container->id);
	}
	(void)pthread_mutex_unlock(&containers->lock);
	if (found)
		container_unref(container);
}

void containers_rename(struct containers *containers, struct container *container, const char *name)
{
	(void)pthread_mutex_lock(&containers->lock);
	drop_name(containers, container->name, container->id);
	(void)pthread_mutex_lock(&container->lock);
	replace_string(&container->name, name);
	(void)pthread_mutex_unlock(&container->lock);
	(void)pthread_mutex_unlock(&containers->lock);
}

/* With the lock held: by exact id or name. */
static struct container *find_exact(struct containers *containers, const char *name)
{
	const struct reservation *row;

	for (size_t i = 0; i < containers->count; i++)
		if (strcmp(containers->items[i]->id, name) == 0)
			return containers->items[i];
	row = find_name(containers, name[0] == '/' ? name + 1 : name);
	for (size_t i = 0; row && i < containers->count; i++)
		if (strcmp(containers->items[i]->id, row->id) == 0)
			return containers->items[i];
	return NULL;
}

/* With the lock held: the number of ids that begin so, and one of them. */
static unsigned int find_prefix(struct containers *containers, const char *prefix,
				struct container **ret_container)
{
	size_t length = strlen(prefix);
	unsigned int found = 0;

	for (size_t i = 0; length > 0 && i < containers->count; i++) {
		if (strncmp(containers->items[i]->id, prefix, length) == 0) {
			*ret_container = containers->items[i];
			found++;
		}
	}
	return found;
}

int containers_find(struct containers *containers, const char *name,
		    struct container **ret_container, struct cay_error *err)
{
	struct container *container;
	unsigned int found = 1;

	(void)pthread_mutex_lock(&containers->lock);
	container = find_exact(containers, name);
	if (!container)
		found = find_prefix(containers, name, &container);
	if (found == 1)
		*ret_container = container_ref(container);
	(void)pthread_mutex_unlock(&containers->lock);
	if (found == 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such container: %.300s", name);
	if (found > 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Multiple IDs found with provided prefix: %.64s", name);
	return 0;
}

void containers_list(struct containers *containers, struct container_list *ret_list)
{
	(void)pthread_mutex_lock(&containers->lock);
	ret_list->count = containers->count;
	ret_list->items = xcalloc(containers->count + 1, sizeof(*ret_list->items));
	for (size_t i = 0; i < containers->count; i++)
		ret_list->items[i] = container_ref(containers->items[containers->count - 1 - i]);
	(void)pthread_mutex_unlock(&containers->lock);
}

void container_list_done(struct container_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		container_unref(list->items[i]);
	free(list->items);
	*list = (struct container_list){ 0 };
}

/* Random, so that daemons with different roots, which share the range, hardly ever meet. */
uid_t containers_choose_uid(struct containers *containers)
{
	uid_t uid;
	bool taken;

	(void)pthread_mutex_lock(&containers->lock);
	do {
		uid = VM_UID_FIRST + random_below(VM_UID_COUNT);
		taken = false;
		for (size_t i = 0; i < containers->count; i++)
			taken = taken || containers->items[i]->vm_uid == uid;
	} while (taken);
	(void)pthread_mutex_unlock(&containers->lock);
	return uid;
}

void containers_count(struct containers *containers, struct container_counts *ret_counts)
{
	_cleanup_container_list_ struct container_list list = { 0 };

	containers_list(containers, &list);
	*ret_counts = (struct container_counts){ .total = list.count };
	for (size_t i = 0; i < list.count; i++) {
		enum container_status status;

		(void)pthread_mutex_lock(&list.items[i]->lock);
		status = list.items[i]->status;
		(void)pthread_mutex_unlock(&list.items[i]->lock);
		if (status == CONTAINER_RUNNING)
			ret_counts->running++;
		else if (status == CONTAINER_PAUSED)
			ret_counts->paused++;
		else
			ret_counts->stopped++;
	}
}
