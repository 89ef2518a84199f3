/* SPDX-License-Identifier: Apache-2.0 */
/* A minimal libfuse file system: directory/attribute with one text, shown anew by each read at 0.
 *
 * The peer for our server: same depth, same caching of names, same direct_io reads.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <string.h>

static const char text[] = "disabled\n";

static void *start(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->entry_timeout = config->attr_timeout = config->negative_timeout = 60;
	config->nullpath_ok = 1;
	return NULL;
}

static int get(const char *path, struct stat *st, struct fuse_file_info *file)
{
	(void)file;
	if (!strcmp(path, "/") || !strcmp(path, "/directory")) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
		return 0;
	}
	if (strcmp(path, "/directory/attribute"))
		return -ENOENT;
	st->st_mode = S_IFREG | 0444;
	st->st_nlink = 1;
	st->st_size = 4096;
	return 0;
}

static int open_file(const char *path, struct fuse_file_info *file)
{
	(void)path;
	file->direct_io = 1;
	return 0;
}

static int read_file(const char *path, char *buffer, size_t size, off_t offset,
		     struct fuse_file_info *file)
{
	size_t length = sizeof(text) - 1;

	(void)path;
	(void)file;
	if ((size_t)offset >= length)
		return 0;
	if (size > length - offset)
		size = length - offset;
	memcpy(buffer, text + offset, size);
	return size;
}

static const struct fuse_operations operations = {
	.init = start,
	.getattr = get,
	.open = open_file,
	.read = read_file,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &operations, NULL);
}
