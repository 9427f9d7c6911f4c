#include "tests/lib/sim_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SECTOR     512
#define FDS_MAX    4096
#define NAME_BYTES 256
#define NO_NODE    (-1)
#define ROOT       0

/* A change of a file since it was empty: bytes written, or (bytes NULL) a new size. */
struct change {
    uint64_t position; /* or the size */
    uint32_t length;
    uint8_t *bytes;
};

struct link {
    char name[NAME_BYTES];
    int node; /* NO_NODE: the name goes */
};

/* One change of a folder's names; a rename takes one name away and sets another in one step. */
struct name_change {
    struct link to;
    char gone[NAME_BYTES]; /* "": none */
};

struct node {
    bool folder;
    /* file */
    struct change *changes;
    uint32_t changes_count, changes_allocated;
    uint32_t durable_count; /* leading changes that are on disk */
    /* folder */
    struct link *live, *durable;
    uint32_t live_count, durable_links_count;
    struct name_change *pending;
    uint32_t pending_count;
};

static struct {
    pthread_mutex_t lock;
    char path[200];
    struct node *nodes;
    int nodes_count, nodes_allocated;
    int of_fd[FDS_MAX]; /* node + 1; 0: not ours */
    char name_of_fd[FDS_MAX][NAME_BYTES];
    int64_t changes;
    int64_t calls_left; /* -1: for ever */
    bool dead;
    enum sim_disk_fault fault;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .calls_left = -1};

const char *const sim_disk_fault_names[SIM_DISK_FAULTS] = {
    [SIM_DISK_SOUND] = "none",
    [SIM_DISK_NO_FOLDER_SYNC] = "no-folder-sync",
    [SIM_DISK_NO_LOG_SYNC] = "no-log-sync",
    [SIM_DISK_NO_CLEANED_SYNC] = "no-cleaned-sync",
    [SIM_DISK_NO_SMALL_SYNC] = "no-small-sync",
    [SIM_DISK_NO_TRUNCATE_SYNC] = "no-truncate-sync",
};

static void lock(void)
{
    pthread_mutex_lock(&disk.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&disk.lock);
}

/* -- nodes and names; under the lock -- */

static int node_new(bool folder)
{
    if (disk.nodes_count == disk.nodes_allocated) {
        disk.nodes_allocated = disk.nodes_allocated ? disk.nodes_allocated * 2 : 64;
        disk.nodes = xrealloc(disk.nodes, (size_t)disk.nodes_allocated * sizeof *disk.nodes);
    }
    disk.nodes[disk.nodes_count] = (struct node){.folder = folder};
    return disk.nodes_count++;
}

static void node_done(struct node *n)
{
    for (uint32_t i = 0; i < n->changes_count; i++) free(n->changes[i].bytes);
    free(n->changes);
    free(n->live);
    free(n->durable);
    free(n->pending);
}

static void link_set(struct link **links, uint32_t *count, const char *name, int node)
{
    uint32_t i = 0;
    while (i < *count && strcmp((*links)[i].name, name)) i++;
    if (node == NO_NODE) {
        if (i < *count) (*links)[i] = (*links)[--*count];
        return;
    }
    if (i == *count) {
        *links = xrealloc(*links, (*count + 1) * sizeof **links);
        snprintf((*links)[(*count)++].name, NAME_BYTES, "%s", name);
    }
    (*links)[i].node = node;
}

static int link_find(const struct node *folder, const char *name)
{
    for (uint32_t i = 0; i < folder->live_count; i++)
        if (!strcmp(folder->live[i].name, name)) return folder->live[i].node;
    return NO_NODE;
}

static void name_change(int folder, const char *name, int node, const char *gone)
{
    struct node *f = &disk.nodes[folder];
    f->pending = xrealloc(f->pending, (f->pending_count + 1) * sizeof *f->pending);
    struct name_change *c = &f->pending[f->pending_count++];
    memset(c, 0, sizeof *c);
    snprintf(c->to.name, NAME_BYTES, "%s", name);
    snprintf(c->gone, NAME_BYTES, "%s", gone);
    c->to.node = node;
    link_set(&f->live, &f->live_count, name, node);
    if (*gone) link_set(&f->live, &f->live_count, gone, NO_NODE);
}

/* The folder that holds the last part of path, and that part. NO_NODE: there is no such folder. */
static int walk(int dir_fd, const char *path, char ret_name[NAME_BYTES])
{
    int folder = ROOT;
    const char *slash;

    *ret_name = '\0';
    if (*path == '/') {
        assert(!strcmp(path, disk.path));
        return ROOT;
    }
    assert(dir_fd >= 0 && dir_fd < FDS_MAX && disk.of_fd[dir_fd]);
    folder = disk.of_fd[dir_fd] - 1;
    while ((slash = strchr(path, '/'))) {
        char part[NAME_BYTES];
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        folder = link_find(&disk.nodes[folder], part);
        if (folder == NO_NODE) return NO_NODE;
        path = slash + 1;
    }
    if (strcmp(path, ".")) snprintf(ret_name, NAME_BYTES, "%s", path);
    return folder;
}

static struct change *change_add(int node, uint64_t position, uint32_t length)
{
    struct node *n = &disk.nodes[node];
    if (n->changes_count == n->changes_allocated) {
        n->changes_allocated = n->changes_allocated ? n->changes_allocated * 2 : 4;
        n->changes = xrealloc(n->changes, n->changes_allocated * sizeof *n->changes);
    }
    struct change *c = &n->changes[n->changes_count++];
    *c = (struct change){.position = position, .length = length};
    return c;
}

/* Counts a call that changes something. false: the power is gone. */
static bool powered(void)
{
    if (disk.dead) return false;
    if (disk.calls_left == 0) {
        disk.dead = true;
        return false;
    }
    if (disk.calls_left > 0) disk.calls_left--;
    disk.changes++;
    return true;
}

/* -- the table -- */

static int sim_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    char name[NAME_BYTES];

    lock();
    int folder = walk(dir_fd, path, name), node = folder;
    if (folder != NO_NODE && *name) node = link_find(&disk.nodes[folder], name);
    bool creates = flags & O_CREAT && node == NO_NODE && folder != NO_NODE, cuts = flags & O_TRUNC && node != NO_NODE;
    int fd = -EIO;
    if (!(creates || cuts) || powered()) fd = io_posix.openat(dir_fd, path, flags, mode);
    if (fd >= 0) {
        assert(fd < FDS_MAX && (creates || node != NO_NODE));
        if (creates) {
            node = node_new(false);
            name_change(folder, name, node, "");
        } else if (cuts) {
            change_add(node, 0, 0);
        }
        disk.of_fd[fd] = node + 1;
        snprintf(disk.name_of_fd[fd], NAME_BYTES, "%s", name);
    }
    unlock();
    return fd;
}

static void sim_close(int fd)
{
    lock();
    disk.of_fd[fd] = 0;
    io_posix.close(fd);
    unlock();
}

static ssize_t sim_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t position)
{
    ssize_t n = -EIO;
    lock();
    if (powered()) n = io_posix.pwritev(fd, iov, iov_count, position);
    if (n > 0) {
        struct change *c = change_add(disk.of_fd[fd] - 1, position, (uint32_t)n);
        c->bytes = xmalloc((size_t)n);
        size_t done = 0;
        for (int i = 0; i < iov_count && done < (size_t)n; i++) {
            size_t part = MIN(iov[i].iov_len, (size_t)n - done);
            memcpy(c->bytes + done, iov[i].iov_base, part);
            done += part;
        }
    }
    unlock();
    return n;
}

static int sim_ftruncate(int fd, uint64_t size)
{
    int r = -EIO;
    lock();
    if (powered()) r = io_posix.ftruncate(fd, size);
    if (!r) change_add(disk.of_fd[fd] - 1, size, 0);
    unlock();
    return r;
}

static bool forgets_sync(const char *name)
{
    switch (disk.fault) {
    case SIM_DISK_NO_LOG_SYNC: return strstr(name, ".log") && !strstr(name, ".cleaned");
    case SIM_DISK_NO_CLEANED_SYNC: return strstr(name, ".cleaned");
    case SIM_DISK_NO_SMALL_SYNC: return strstr(name, ".tmp");
    default: return false;
    }
}

static int sim_fdatasync(int fd)
{
    int r = -EIO;
    lock();
    struct node *n = &disk.nodes[disk.of_fd[fd] - 1];
    if (powered()) r = 0;
    if (!r && !forgets_sync(disk.name_of_fd[fd])) {
        if (disk.fault == SIM_DISK_NO_TRUNCATE_SYNC) {
            uint32_t kept = n->durable_count;
            for (uint32_t i = n->durable_count; i < n->changes_count; i++)
                if (n->changes[i].bytes) n->changes[kept++] = n->changes[i];
            n->changes_count = kept;
        }
        n->durable_count = n->changes_count;
    }
    unlock();
    return r;
}

static void apply(struct link **links, uint32_t *count, const struct name_change *c)
{
    link_set(links, count, c->to.name, c->to.node);
    if (*c->gone) link_set(links, count, c->gone, NO_NODE);
}

static int sim_fsync(int fd)
{
    int r = -EIO;
    lock();
    struct node *n = &disk.nodes[disk.of_fd[fd] - 1];
    assert(n->folder);
    if (powered()) r = 0;
    if (!r && disk.fault != SIM_DISK_NO_FOLDER_SYNC) {
        for (uint32_t i = 0; i < n->pending_count; i++) apply(&n->durable, &n->durable_links_count, &n->pending[i]);
        n->pending_count = 0;
    }
    unlock();
    return r;
}

static int sim_fallocate(int fd, uint64_t position, uint64_t size)
{
    return disk.dead ? -EIO : 0; /* the size stays, and with it all that a reader sees */
}

static int sim_renameat(int dir_fd, const char *from, const char *to)
{
    char from_name[NAME_BYTES], to_name[NAME_BYTES];
    int r = -EIO;

    lock();
    int folder = walk(dir_fd, from, from_name), to_folder = walk(dir_fd, to, to_name);
    int node = folder == NO_NODE ? NO_NODE : link_find(&disk.nodes[folder], from_name);
    assert(folder == to_folder);
    if (node == NO_NODE) r = disk.dead ? -EIO : -ENOENT;
    else if (powered()) r = io_posix.renameat(dir_fd, from, to);
    if (!r) name_change(folder, to_name, node, from_name);
    unlock();
    return r;
}

static int sim_unlinkat(int dir_fd, const char *path, int flags)
{
    char name[NAME_BYTES];
    int r = -EIO;

    lock();
    int folder = walk(dir_fd, path, name);
    if (folder == NO_NODE || link_find(&disk.nodes[folder], name) == NO_NODE) r = disk.dead ? -EIO : -ENOENT;
    else if (powered()) r = io_posix.unlinkat(dir_fd, path, flags);
    if (!r) name_change(folder, name, NO_NODE, "");
    unlock();
    return r;
}

static int sim_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    char name[NAME_BYTES];
    int r = -EIO;

    if (*path == '/') return -EEXIST;
    lock();
    int folder = walk(dir_fd, path, name);
    if (powered()) r = io_posix.mkdirat(dir_fd, path, mode);
    if (!r) {
        int node = node_new(true);
        name_change(folder, name, node, "");
    }
    unlock();
    return r;
}

/* These change nothing. */
static ssize_t sim_pread(int fd, void *bytes, size_t size, uint64_t position)
{
    return io_posix.pread(fd, bytes, size, position);
}
static int sim_fstat(int fd, struct stat *ret_stat)
{
    return io_posix.fstat(fd, ret_stat);
}
static int sim_fstatat(int dir_fd, const char *path, struct stat *ret_stat)
{
    return io_posix.fstatat(dir_fd, path, ret_stat);
}
static int sim_list(int dir_fd, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    return io_posix.list(dir_fd, path, each, arg);
}
static int sim_statvfs(int fd, struct statvfs *ret_stat)
{
    return io_posix.statvfs(fd, ret_stat);
}

const struct io_ops io_sim = {
    .openat = sim_openat,
    .close = sim_close,
    .pread = sim_pread,
    .fstat = sim_fstat,
    .fstatat = sim_fstatat,
    .list = sim_list,
    .statvfs = sim_statvfs,
    .pwritev = sim_pwritev,
    .ftruncate = sim_ftruncate,
    .fdatasync = sim_fdatasync,
    .fsync = sim_fsync,
    .fallocate = sim_fallocate,
    .renameat = sim_renameat,
    .unlinkat = sim_unlinkat,
    .mkdirat = sim_mkdirat,
};

/* -- the life of a disk -- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return at->level ? remove(path) : 0;
}

static void forget_nodes(void)
{
    for (int i = 0; i < disk.nodes_count; i++) node_done(&disk.nodes[i]);
    disk.nodes_count = 0;
    memset(disk.of_fd, 0, sizeof disk.of_fd);
    disk.dead = false;
    disk.calls_left = -1;
    disk.changes = 0;
}

void sim_disk_begin(const char *path)
{
    snprintf(disk.path, sizeof disk.path, "%s", path);
    int r = io_posix.mkdirat(AT_FDCWD, path, 0755);
    assert(!r || r == -EEXIST);
    forget_nodes();
    node_new(true);
}

void sim_disk_end(void)
{
    nftw(disk.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    remove(disk.path);
    forget_nodes();
    free(disk.nodes);
    disk.nodes = NULL;
    disk.nodes_allocated = 0;
}

void sim_disk_cut_after(int64_t calls)
{
    lock();
    disk.calls_left = calls;
    unlock();
}

bool sim_disk_is_dead(void)
{
    return disk.dead;
}

int64_t sim_disk_changes(void)
{
    return disk.changes;
}

void sim_disk_set_fault(enum sim_disk_fault fault)
{
    disk.fault = fault;
}

/* -- what is left -- */

static uint32_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 16);
}

struct content {
    uint8_t *bytes;
    uint64_t size, allocated;
};

static void resize(struct content *c, uint64_t size)
{
    if (size > c->allocated) {
        c->bytes = xrealloc(c->bytes, size);
        c->allocated = size;
    }
    if (size > c->size) memset(c->bytes + c->size, 0, size - c->size);
    c->size = size;
}

static void put(struct content *c, uint64_t position, const uint8_t *bytes, uint64_t length)
{
    if (!length) return;
    if (position + length > c->size) resize(c, position + length);
    memcpy(c->bytes + position, bytes, length);
}

static void put_change(struct content *c, const struct change *change)
{
    if (change->bytes) put(c, change->position, change->bytes, change->length);
    else resize(c, change->position);
}

/* Any of its sectors. */
static void put_sectors(struct content *c, const struct change *change, uint64_t *random)
{
    uint64_t end = change->position + change->length;
    for (uint64_t at = change->position; at < end;) {
        uint64_t next = MIN((at / SECTOR + 1) * SECTOR, end);
        if (draw(random) % 2) put(c, at, change->bytes + (at - change->position), next - at);
        at = next;
    }
}

static void surviving_bytes(const struct node *n, struct content *c, uint64_t *random)
{
    *c = (struct content){0};
    for (uint32_t i = 0; i < n->durable_count; i++) put_change(c, &n->changes[i]);
    uint32_t left = n->changes_count - n->durable_count, mode = draw(random) % 4;
    if (!left || mode == 0) return;
    uint32_t count = mode == 1 ? left : draw(random) % (left + 1);
    for (uint32_t i = 0; i < left; i++) {
        const struct change *change = &n->changes[n->durable_count + i];
        bool whole = mode != 3 ? i < count : draw(random) % 2;
        if (whole) put_change(c, change);
        else if (mode == 3 && change->bytes) put_sectors(c, change, random);
        else if (mode == 2 && i == count && change->bytes) {
            uint64_t torn = (change->position + draw(random) % change->length) / SECTOR * SECTOR;
            if (torn > change->position) put(c, change->position, change->bytes, torn - change->position);
        }
    }
}

static void surviving_names(struct node *n, uint64_t *random)
{
    uint32_t mode = draw(random) % 3, count = draw(random) % (n->pending_count + 1);
    for (uint32_t i = 0; i < n->pending_count; i++) {
        bool kept = mode == 0 ? true : mode == 1 ? i < count : draw(random) % 2;
        if (kept) apply(&n->durable, &n->durable_links_count, &n->pending[i]);
    }
}

static void write_file(const char *path, const struct content *c)
{
    int fd = io_posix.openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(fd >= 0);
    int r = io_pwrite_all(&io_posix, fd, c->bytes, c->size, 0);
    assert(!r);
    io_posix.close(fd);
}

/* Writes what is left of a folder; the same becomes the new disk's, as `new_folder`. */
static void materialize(int folder, const char *path, struct node **old, int new_folder, uint64_t *random)
{
    struct node *n = &(*old)[folder];

    surviving_names(n, random);
    for (uint32_t i = 0; i < n->durable_links_count; i++) {
        const struct link *l = &n->durable[i];
        struct node *child = &(*old)[l->node];
        char child_path[600];
        int node = node_new(child->folder);
        snprintf(child_path, sizeof child_path, "%s/%s", path, l->name);
        struct node *parent = &disk.nodes[new_folder];
        link_set(&parent->live, &parent->live_count, l->name, node);
        link_set(&parent->durable, &parent->durable_links_count, l->name, node);
        if (child->folder) {
            int r = io_posix.mkdirat(AT_FDCWD, child_path, 0755);
            assert(!r);
            materialize(l->node, child_path, old, node, random);
            continue;
        }
        struct content c;
        surviving_bytes(child, &c, random);
        write_file(child_path, &c);
        if (c.size) {
            struct change *change = change_add(node, 0, (uint32_t)c.size);
            change->bytes = c.bytes;
        } else {
            free(c.bytes);
        }
        disk.nodes[node].durable_count = disk.nodes[node].changes_count;
    }
}

void sim_disk_power_cut(uint64_t *random)
{
    struct node *old = disk.nodes;
    int old_count = disk.nodes_count;

    disk.nodes = NULL;
    disk.nodes_count = disk.nodes_allocated = 0;
    forget_nodes();
    nftw(disk.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    node_new(true);
    materialize(ROOT, disk.path, &old, ROOT, random);
    for (int i = 0; i < old_count; i++) node_done(&old[i]);
    free(old);
}

void sim_disk_kill(void)
{
    lock();
    disk.dead = false;
    disk.calls_left = -1;
    unlock();
}
