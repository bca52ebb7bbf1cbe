/*
 * Preloaded into a process, this writes down what the process does to the files below one folder, in one global order.
 *
 *   CRASH_ROOT   the folder, an absolute path without links
 *   CRASH_TRACE  the file that the operations are appended to
 *
 * Every operation is written down while a lock is held that also covers the operation itself. So the trace has the order
 * that the file system saw. Only a sync is not covered: its start and its end are two entries, and what other threads
 * do in between is seen in between, as it is on a disk.
 *
 * A sync is not carried out. The process does not lose its power, only the model does (image.rs); the nap stands for
 * the time that a disk takes, so that writes queue up behind it.
 *
 * Not seen: files that end in "-shm", which are mapped into memory and are built anew after a crash. Ways to write that
 * are not below (writev, mmap, rename, ...) would go unseen; the test compares what the trace tells with what is on
 * disk after each run, so they would be noticed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096   /* descriptors that can be told apart */
#define NODES 4096 /* files that can come and go in one run */
#define NAP_US 300 /* how long a sync takes */

/* One entry of the trace: this, then `length` bytes. trace.rs reads it. */
struct entry {
    uint32_t kind;
    uint32_t node;   /* which file or folder */
    uint64_t number; /* offset, size, or the number of the sync's start */
    uint64_t length;
};
enum { OPEN = 1, CREATE, MKDIR, WRITE, TRUNCATE, SYNC_START, SYNC_END, UNLINK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int trace = -1;
static uint32_t node_of_fd[FDS];  /* 0: not ours */
static char *path_of_node[NODES]; /* NULL once it is unlinked; relative to root, "" is root */
static uint32_t nodes;            /* 0 is never used */
static uint64_t syncs;

/* The next definition of a function, which is libc's. */
#define REAL(result, name, ...)                                                                  \
    static result (*real_##name)(__VA_ARGS__);                                                   \
    if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void fail(const char *what) {
    fprintf(stderr, "crash shim: %s: %s\n", what, strerror(errno));
    abort();
}

static void tell(uint32_t kind, uint32_t node, uint64_t number, const void *data, size_t length) {
    struct entry entry = {kind, node, number, length};
    struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)data, length}};
    if (writev(trace, parts, 2) != (ssize_t)(sizeof entry + length)) fail("the trace cannot be written");
}

__attribute__((constructor)) static void begin(void) {
    root = getenv("CRASH_ROOT");
    const char *path = getenv("CRASH_TRACE");
    if (!root || !path) fail("CRASH_ROOT and CRASH_TRACE must be set");
    root_length = strlen(root);
    trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) fail(path);
}

/* Whoever is in the middle of an operation ends it, and nobody begins another: the trace is whole. */
__attribute__((destructor)) static void end(void) { pthread_mutex_lock(&lock); }

/* The path below root, or NULL when it is none of ours. */
static const char *ours(const char *path) {
    size_t length = strlen(path);
    if (trace < 0 || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] != '/' && path[root_length] != 0) return NULL;
    if (length > 4 && strcmp(path + length - 4, "-shm") == 0) return NULL;
    return path[root_length] ? path + root_length + 1 : "";
}

static uint32_t find(const char *path) {
    for (uint32_t node = 1; node <= nodes; node++)
        if (path_of_node[node] && strcmp(path_of_node[node], path) == 0) return node;
    return 0;
}

static uint32_t add(const char *path) {
    if (nodes + 1 >= NODES) fail("too many files");
    path_of_node[++nodes] = strdup(path);
    return nodes;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    const char *below = dir == AT_FDCWD || path[0] == '/' ? ours(path) : NULL;
    if (!below) return real_openat(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    int was_there = access(path, F_OK) == 0;
    int fd = real_openat(dir, path, flags, mode), error = errno;
    if (fd >= FDS) fail("too many descriptors");
    if (fd >= 0) {
        uint32_t node = find(below);
        if (!node) {
            node = add(below);
            tell(was_there ? OPEN : CREATE, node, 0, below, strlen(below));
        }
        if (was_there && (flags & O_TRUNC)) tell(TRUNCATE, node, 0, NULL, 0);
        node_of_fd[fd] = node;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN_LIKE(name)                                                                          \
    int name(const char *path, int flags, ...) {                                                 \
        va_list rest;                                                                            \
        va_start(rest, flags);                                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                            \
        return opened(AT_FDCWD, path, flags, mode);                                              \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

#define OPENAT_LIKE(name)                                                                        \
    int name(int dir, const char *path, int flags, ...) {                                        \
        va_list rest;                                                                            \
        va_start(rest, flags);                                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                            \
        return opened(dir, path, flags, mode);                                                   \
    }
OPENAT_LIKE(openat)
OPENAT_LIKE(openat64)

static uint32_t node_of(int fd) { return fd >= 0 && fd < FDS ? node_of_fd[fd] : 0; }

int close(int fd) {
    REAL(int, close, int);
    if (!node_of(fd)) return real_close(fd);
    pthread_mutex_lock(&lock);
    node_of_fd[fd] = 0;
    int result = real_close(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (!node_of(fd)) return real_write(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t written = real_write(fd, data, length);
    int error = errno;
    /* Where it went, append or not, is behind the present offset. */
    if (written > 0) tell(WRITE, node_of_fd[fd], lseek(fd, 0, SEEK_CUR) - written, data, written);
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

#define PWRITE_LIKE(name, offset_type)                                                           \
    ssize_t name(int fd, const void *data, size_t length, offset_type offset) {                  \
        REAL(ssize_t, name, int, const void *, size_t, offset_type);                             \
        if (!node_of(fd)) return real_##name(fd, data, length, offset);                          \
        pthread_mutex_lock(&lock);                                                               \
        ssize_t written = real_##name(fd, data, length, offset);                                 \
        int error = errno;                                                                       \
        if (written > 0) tell(WRITE, node_of_fd[fd], offset, data, written);                     \
        pthread_mutex_unlock(&lock);                                                             \
        errno = error;                                                                           \
        return written;                                                                          \
    }
PWRITE_LIKE(pwrite, off_t)
PWRITE_LIKE(pwrite64, off64_t)

#define FTRUNCATE_LIKE(name, offset_type)                                                        \
    int name(int fd, offset_type size) {                                                         \
        REAL(int, name, int, offset_type);                                                       \
        if (!node_of(fd)) return real_##name(fd, size);                                          \
        pthread_mutex_lock(&lock);                                                               \
        int result = real_##name(fd, size), error = errno;                                       \
        if (result == 0) tell(TRUNCATE, node_of_fd[fd], size, NULL, 0);                          \
        pthread_mutex_unlock(&lock);                                                             \
        errno = error;                                                                           \
        return result;                                                                           \
    }
FTRUNCATE_LIKE(ftruncate, off_t)
FTRUNCATE_LIKE(ftruncate64, off64_t)

#define SYNC_LIKE(name)                                                                          \
    int name(int fd) {                                                                           \
        REAL(int, name, int);                                                                    \
        if (!node_of(fd)) return real_##name(fd);                                                \
        pthread_mutex_lock(&lock);                                                               \
        uint32_t node = node_of_fd[fd];                                                          \
        uint64_t sync = ++syncs;                                                                 \
        tell(SYNC_START, node, sync, NULL, 0);                                                   \
        pthread_mutex_unlock(&lock);                                                             \
        usleep(NAP_US);                                                                          \
        pthread_mutex_lock(&lock);                                                               \
        tell(SYNC_END, node, sync, NULL, 0);                                                     \
        pthread_mutex_unlock(&lock);                                                             \
        return 0;                                                                                \
    }
SYNC_LIKE(fsync)
SYNC_LIKE(fdatasync)

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    const char *below = ours(path);
    if (!below) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int result = real_unlink(path), error = errno;
    if (result == 0) {
        uint32_t node = find(below);
        tell(UNLINK, node, 0, below, strlen(below));
        if (node) path_of_node[node] = NULL;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    const char *below = ours(path);
    if (!below) return real_mkdir(path, mode);
    pthread_mutex_lock(&lock);
    int result = real_mkdir(path, mode), error = errno;
    if (result == 0) tell(MKDIR, find(below) ? find(below) : add(below), 0, below, strlen(below));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
