/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an image. Names are found through one hash table over (parent,
 * name). Removing a directory only cuts it off: what hangs below is not
 * reachable any more and costs nothing further.
 */
#include "image/worker/merge.h"

#include "base/alloc.h"
#include "tar/path.h"

#include <errno.h>

enum {
	NODES_MAX = 4 << 20,       /* names in one image, those removed again included */
	LINKS_FOLLOWED_MAX = 40,   /* in one path, as Linux does */
	PATH_EXPANDED_MAX = 16384, /* of a path while its links are being followed */
	NAMES_PIECE = 64 * 1024,
};

static uint32_t new_inode(struct merge_tree *tree, const struct layer_record *record,
			  uint32_t layer, bool is_directory)
{
	if (tree->inode_count == tree->inode_room) {
		tree->inode_room =
			tree->inode_room ? tree->inode_room + tree->inode_room / 2 : 1024;
		tree->inodes = xreallocarray(tree->inodes, tree->inode_room, sizeof(*tree->inodes));
	}
	tree->inodes[tree->inode_count] = (struct merge_inode){ .record = record,
								.layer = layer,
								.is_directory = is_directory };
	return (uint32_t)tree->inode_count++;
}

/* FNV-1a over the name, started from the parent's number. */
static size_t bucket_of(const struct merge_tree *tree, uint32_t parent, struct str name)
{
	uint64_t hash = (UINT64_C(0xcbf29ce484222325) ^ parent) * UINT64_C(0x100000001b3);

	for (size_t i = 0; i < name.length; i++)
		hash = (hash ^ (uint8_t)name.data[i]) * UINT64_C(0x100000001b3);
	return (size_t)((hash ^ hash >> 32) & (tree->bucket_count - 1));
}

static struct str node_name(const struct merge_node *node)
{
	return (struct str){ node->name, node->name_length };
}

static void rehash(struct merge_tree *tree)
{
	free(tree->buckets);
	tree->bucket_count = tree->bucket_count ? tree->bucket_count * 2 : 4096;
	tree->buckets = xcalloc(tree->bucket_count, sizeof(*tree->buckets));
	for (uint32_t i = MERGE_ROOT + 1; i < tree->node_count; i++) {
		struct merge_node *node = &tree->nodes[i];
		size_t bucket;

		if (node->gone)
			continue;
		bucket = bucket_of(tree, node->parent, node_name(node));
		node->next_in_bucket = tree->buckets[bucket];
		tree->buckets[bucket] = i;
	}
}

void merge_init(struct merge_tree *tree)
{
	*tree = (struct merge_tree){ .node_room = 1024, .node_count = MERGE_ROOT + 1 };
	tree->nodes = xcalloc(tree->node_room, sizeof(*tree->nodes));
	tree->nodes[MERGE_ROOT] = (struct merge_node){ .name = "",
						       .parent = MERGE_ROOT,
						       .inode = new_inode(tree, NULL, 0, true) };
	rehash(tree);
}

void merge_done(struct merge_tree *tree)
{
	for (size_t i = 0; i < tree->names_count; i++)
		buf_done(&tree->names[i]);
	free(tree->names);
	free(tree->nodes);
	free(tree->inodes);
	free(tree->buckets);
	*tree = (struct merge_tree){ 0 };
}

static uint32_t find(const struct merge_tree *tree, uint32_t parent, struct str name)
{
	uint32_t at = tree->buckets[bucket_of(tree, parent, name)];

	while (at &&
	       (tree->nodes[at].parent != parent || !str_equal(node_name(&tree->nodes[at]), name)))
		at = tree->nodes[at].next_in_bucket;
	return at;
}

/* `name` must outlive the tree. */
static int add(struct merge_tree *tree, uint32_t parent, struct str name, uint32_t inode,
	       uint32_t *ret_node, struct cay_error *err)
{
	const uint32_t at = (uint32_t)tree->node_count;
	size_t bucket;

	if (tree->node_count >= NODES_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "the image has more than %d files",
				     NODES_MAX);
	if (tree->node_count == tree->node_room) {
		tree->node_room += tree->node_room / 2;
		tree->nodes = xreallocarray(tree->nodes, tree->node_room, sizeof(*tree->nodes));
	}
	tree->node_count++;
	bucket = bucket_of(tree, parent, name);
	tree->nodes[at] = (struct merge_node){
		.name = name.data,
		.name_length = (uint8_t)name.length,
		.parent = parent,
		.inode = inode,
		.next_sibling = tree->nodes[parent].first_child,
		.next_in_bucket = tree->buckets[bucket],
	};
	tree->nodes[parent].first_child = at;
	tree->buckets[bucket] = at;
	if (tree->node_count > tree->bucket_count)
		rehash(tree);
	*ret_node = at;
	return 0;
}

/* A copy of a name that lasts as long as the tree. */
static struct str keep_name(struct merge_tree *tree, struct str name)
{
	struct buf *piece = tree->names_count > 0 ? &tree->names[tree->names_count - 1] : NULL;

	if (!piece || piece->capacity - piece->length <= name.length + 1) {
		tree->names = xreallocarray(tree->names, ++tree->names_count, sizeof(*tree->names));
		piece = &tree->names[tree->names_count - 1];
		*piece = (struct buf){ 0 };
		(void)buf_reserve(piece, NAMES_PIECE); /* never grows, so its text never moves */
	}
	buf_append(piece, name.data, name.length);
	return (struct str){ piece->data + piece->length - name.length, name.length };
}

static void unhash(struct merge_tree *tree, uint32_t at)
{
	struct merge_node *node = &tree->nodes[at];
	uint32_t *link = &tree->buckets[bucket_of(tree, node->parent, node_name(node))];

	while (*link != at)
		link = &tree->nodes[*link].next_in_bucket;
	*link = node->next_in_bucket;
}

static void clear_children(struct merge_tree *tree, uint32_t at)
{
	for (uint32_t child = tree->nodes[at].first_child; child;
	     child = tree->nodes[child].next_sibling) {
		if (tree->nodes[child].gone)
			continue;
		unhash(tree, child);
		tree->nodes[child].gone = true;
	}
	tree->nodes[at].first_child = 0;
}

/* It stays in its parent's list, marked, until the list is sorted. */
static void remove_node(struct merge_tree *tree, uint32_t at)
{
	unhash(tree, at);
	tree->nodes[at].gone = true;
}

static struct merge_inode *inode_of(const struct merge_tree *tree, uint32_t node)
{
	return &tree->inodes[tree->nodes[node].inode];
}

static bool is_symlink(const struct merge_tree *tree, uint32_t node)
{
	const struct merge_inode *inode = inode_of(tree, node);

	return !inode->is_directory && inode->record->kind == LAYER_SYMLINK;
}

/* A walk along a path, with what is still to be walked in a buffer of its own. */
struct walk {
	char left[PATH_EXPANDED_MAX];
	size_t start, length;
	unsigned int links;
};

/* Puts a link's target in front of what is left. */
static int follow(struct walk *walk, struct str target, struct cay_error *err)
{
	if (++walk->links > LINKS_FOLLOWED_MAX)
		return cay_error_set(err, CAY_INVALID, ELOOP, "too many symbolic links");
	if (target.length + 1 + walk->length > sizeof(walk->left))
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "a path grows too long by its symbolic links");
	memmove(walk->left + target.length + 1, walk->left + walk->start, walk->length);
	memcpy(walk->left, target.data, target.length);
	walk->left[target.length] = '/';
	walk->start = 0;
	walk->length += target.length + 1;
	return 0;
}

static struct str walk_next(struct walk *walk)
{
	struct str rest;
	struct str part =
		str_split((struct str){ walk->left + walk->start, walk->length }, '/', &rest);

	walk->start = (size_t)(rest.data - walk->left);
	walk->length = rest.length;
	return part;
}

/* Turns what stands at a node, if anything, into a directory that no record spoke of. */
static int make_directory(struct merge_tree *tree, uint32_t parent, struct str name, uint32_t layer,
			  uint32_t *node, struct cay_error *err)
{
	const uint32_t inode = new_inode(tree, NULL, layer, true);

	if (*node == 0)
		return add(tree, parent, keep_name(tree, name), inode, node, err);
	tree->nodes[*node].inode = inode;
	return 0;
}

/*
 * Walks to a directory from the root, through links. Where it does not exist it is made if
 * `create`, and what stands in the way and is no directory goes; else *ret_node is 0.
 */
static int walk_to(struct merge_tree *tree, struct str path, bool create, uint32_t layer,
		   uint32_t *ret_node, struct cay_error *err)
{
	struct walk walk;
	uint32_t at = MERGE_ROOT;

	memcpy(walk.left, path.data, path.length);
	walk.start = walk.links = 0;
	walk.length = path.length;
	while (walk.length > 0) {
		struct str part = walk_next(&walk);
		uint32_t next;
		int r = 0;

		if (part.length == 0 || str_equals(part, "."))
			continue;
		if (str_equals(part, "..")) {
			at = tree->nodes[at].parent;
			continue;
		}
		if (part.length > LAYER_NAME_MAX)
			return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
					     "a symbolic link has a too long name");
		next = find(tree, at, part);
		if (next && is_symlink(tree, next)) {
			struct str target = index_strings_of(inode_of(tree, next)->record).link;

			if (target.data[0] == '/')
				at = MERGE_ROOT;
			r = follow(&walk, target, err);
			if (r < 0)
				return r;
			continue;
		}
		if (!next || !inode_of(tree, next)->is_directory) {
			if (!create) {
				*ret_node = 0;
				return 0;
			}
			r = make_directory(tree, at, part, layer, &next, err);
		}
		if (r < 0)
			return r;
		at = next;
	}
	*ret_node = at;
	return 0;
}

/* "a/b" and "c" from "a/b/c". */
static void split_last(struct str path, struct str *ret_parent, struct str *ret_name)
{
	const char *slash = path.length ? memrchr(path.data, '/', path.length) : NULL;
	const size_t head = slash ? (size_t)(slash - path.data) : 0;

	*ret_parent = (struct str){ path.data, head };
	*ret_name = slash ? (struct str){ slash + 1, path.length - head - 1 } : path;
}

static int apply_removal(struct merge_tree *tree, const struct layer_record *record, uint32_t layer,
			 struct cay_error *err)
{
	const struct str path = index_strings_of(record).path;
	struct str parent, name;
	uint32_t node;
	int r;

	if (record->kind == LAYER_OPAQUE) {
		r = walk_to(tree, path, false, layer, &node, err);
		if (r == 0 && node)
			clear_children(tree, node);
		return r;
	}
	split_last(path, &parent, &name);
	if (name.length == 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "a whiteout has no name");
	r = walk_to(tree, parent, false, layer, &node, err);
	if (r < 0 || !node)
		return r;
	node = find(tree, node, name);
	if (node)
		remove_node(tree, node);
	return 0;
}

/* The inode a hard link is to. The target's last part is not followed when it is a link itself. */
static int link_target(struct merge_tree *tree, const struct layer_record *record, uint32_t layer,
		       uint32_t *ret_inode, struct cay_error *err)
{
	const struct str target = index_strings_of(record).link;
	char shown[PATH_SHOWN_MAX + 4];
	struct str parent, name;
	uint32_t node;
	int r;

	split_last(target, &parent, &name);
	r = walk_to(tree, parent, false, layer, &node, err);
	if (r < 0)
		return r;
	node = node ? find(tree, node, name) : 0;
	if (!node)
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "the target \"%s\" of a hard link does not exist",
				     path_shown(target, shown));
	if (inode_of(tree, node)->is_directory)
		return cay_error_set(err, CAY_INVALID, EPERM,
				     "the target \"%s\" of a hard link is a directory",
				     path_shown(target, shown));
	*ret_inode = tree->nodes[node].inode;
	return 0;
}

static int apply_entry(struct merge_tree *tree, const struct layer_record *record, uint32_t layer,
		       struct cay_error *err)
{
	const bool is_directory = record->kind == LAYER_DIRECTORY;
	struct str parent, name;
	uint32_t directory, node, inode = 0;
	int r;

	split_last(index_strings_of(record).path, &parent, &name);
	r = walk_to(tree, parent, true, layer, &directory, err);
	if (r < 0)
		return r;
	if (name.length == 0 && !is_directory)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "an entry has no name");
	node = name.length == 0 ? MERGE_ROOT : find(tree, directory, name);
	if (is_directory && node && inode_of(tree, node)->is_directory) {
		inode_of(tree, node)->record = record;
		inode_of(tree, node)->layer = layer;
		return 0;
	}
	if (record->kind == LAYER_HARDLINK) {
		r = link_target(tree, record, layer, &inode, err);
		if (r < 0)
			return r;
	} else {
		inode = new_inode(tree, record, layer, is_directory);
	}
	if (!node)
		return add(tree, directory, name, inode, &node, err);
	clear_children(tree, node);
	tree->nodes[node].inode = inode;
	return 0;
}

int merge_apply(struct merge_tree *tree, const struct index_map *map, uint32_t layer,
		struct cay_error *err)
{
	const struct layer_record *record;
	char shown[PATH_SHOWN_MAX + 4];

	for (unsigned int pass = 0; pass < 2; pass++) {
		size_t offset = 0;
		int r;

		while ((r = index_next(map, &offset, &record, err)) > 0) {
			const bool removal =
				record->kind == LAYER_WHITEOUT || record->kind == LAYER_OPAQUE;

			if (removal != (pass == 0))
				continue;
			r = removal ? apply_removal(tree, record, layer, err)
				    : apply_entry(tree, record, layer, err);
			if (r < 0)
				return cay_error_prefix(
					err, "\"%s\"",
					path_shown(index_strings_of(record).path, shown));
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * What is mounted over in every container. The guest makes what is missing, but in the container's
 * writable layer, where each of them would be a change, and costs a start several milliseconds.
 */
static const struct {
	const char *directory, *file;
} mount_points[] = {
	{ "dev", NULL },    { "proc", NULL },      { "sys", NULL },
	{ "etc", "hosts" }, { "etc", "hostname" }, { "etc", "resolv.conf" },
};

int merge_add_mount_points(struct merge_tree *tree, struct cay_error *err)
{
	static const struct layer_record empty_file = { .kind = LAYER_FILE, .mode = 0644 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(mount_points); i++) {
		const struct str directory = str_from(mount_points[i].directory);
		const char *file = mount_points[i].file;
		uint32_t node = find(tree, MERGE_ROOT, directory), child;

		if (!node)
			r = make_directory(tree, MERGE_ROOT, directory, 0, &node, err);
		if (r < 0 || !file || !inode_of(tree, node)->is_directory)
			continue;
		child = find(tree, node, str_from(file));
		if (!child)
			r = add(tree, node, str_from(file), new_inode(tree, &empty_file, 0, false),
				&child, err);
	}
	return r;
}

static int compare_names(const void *a, const void *b, void *nodes)
{
	const struct merge_node *x = (const struct merge_node *)nodes + *(const uint32_t *)a;
	const struct merge_node *y = (const struct merge_node *)nodes + *(const uint32_t *)b;
	const size_t shorter = MIN(x->name_length, y->name_length);
	const int order = memcmp(x->name, y->name, shorter);

	return order ? order : (int)x->name_length - (int)y->name_length;
}

void merge_sort(struct merge_tree *tree)
{
	_cleanup_free_ uint32_t *list = xcalloc(tree->node_count, sizeof(*list));

	for (uint32_t at = MERGE_ROOT; at < tree->node_count; at++) {
		struct merge_node *node = &tree->nodes[at];
		size_t count = 0;

		if (node->gone || !node->first_child)
			continue;
		for (uint32_t child = node->first_child; child;
		     child = tree->nodes[child].next_sibling)
			if (!tree->nodes[child].gone)
				list[count++] = child;
		qsort_r(list, count, sizeof(*list), compare_names, tree->nodes);
		node->first_child = count > 0 ? list[0] : 0;
		for (size_t i = 0; i < count; i++)
			tree->nodes[list[i]].next_sibling = i + 1 < count ? list[i + 1] : 0;
	}
}
