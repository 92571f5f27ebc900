/* Loaded before the C library (LD_PRELOAD): counts the system calls by which files of a project change, and can end the
 * process with SIGKILL just before the N-th of them, or half-way through it where it writes; or send it another signal
 * there. So it comes exactly between two steps of a commit, not where the clock happens to put it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_FILES 1024
static char kind[MOST_FILES]; /* of each open file: 0 not ours, else see `kind_of` */
static long counted, kill_at; /* 0: never */
static int torn, signal_then, report_fd = -1;

/* d database, j its journal, l lock file, n draft of a new project, c safety copy */
static char kind_of(const char *path) {
    if (path == NULL || strstr(path, ".photdb") == NULL) return 0;
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (strstr(name, ".photdb") == NULL) return 0;
    if (strstr(name, ".before-")) return 'c';
    if (strstr(name, "-journal")) return 'j';
    if (strstr(name, ".lock")) return 'l';
    if (name[0] == '.') return 'n';
    return 'd';
}

void calls_arm(long at, int half, int how, int report) {
    counted = 0;
    kill_at = at;
    torn = half;
    signal_then = how;
    report_fd = report;
}

long calls_counted(void) { return counted; }

/* True where this call is to be torn: half of it is done first. Does not come back where the process is to end now. */
static int count(char of, const char *what, int is_write) {
    if (of == 0) return 0;
    counted++;
    if (counted != kill_at) return 0;
    if (report_fd >= 0) dprintf(report_fd, "%s %c%s\n", what, of, torn && is_write ? " torn" : "");
    if (torn && is_write) return 1;
    kill(getpid(), signal_then);
    while (signal_then == SIGKILL) pause();
    return 0;
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static char of(int fd) { return fd >= 0 && fd < MOST_FILES ? kind[fd] : 0; }

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < MOST_FILES) kind[fd] = kind_of(path);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }
#define CREATES(path, flags) \
    if ((flags) & O_CREAT) count(kind_of(path), "create", 0)

int open(const char *path, int flags, ...) {
    MODE(flags) REAL(open);
    CREATES(path, flags);
    return opened(real(path, flags, mode), path);
}
int open64(const char *path, int flags, ...) {
    MODE(flags) REAL(open64);
    CREATES(path, flags);
    return opened(real(path, flags, mode), path);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags) REAL(openat);
    CREATES(path, flags);
    return opened(real(folder, path, flags, mode), path);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags) REAL(openat64);
    CREATES(path, flags);
    return opened(real(folder, path, flags, mode), path);
}
int close(int fd) {
    REAL(close);
    count(of(fd), "close", 0);
    if (fd >= 0 && fd < MOST_FILES) kind[fd] = 0;
    return real(fd);
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    if (count(of(fd), "write", 1)) {
        real(fd, data, n / 2);
        end();
    }
    return real(fd, data, n);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    REAL(pwrite);
    if (count(of(fd), "write", 1)) {
        real(fd, data, n / 2, at);
        end();
    }
    return real(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    if (count(of(fd), "write", 1)) {
        real(fd, data, n / 2, at);
        end();
    }
    return real(fd, data, n, at);
}
int fsync(int fd) {
    REAL(fsync);
    count(of(fd), "sync", 0);
    return real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    count(of(fd), "sync", 0);
    return real(fd);
}
int ftruncate(int fd, off_t n) {
    REAL(ftruncate);
    count(of(fd), "truncate", 0);
    return real(fd, n);
}
int ftruncate64(int fd, off64_t n) {
    REAL(ftruncate64);
    count(of(fd), "truncate", 0);
    return real(fd, n);
}
int flock(int fd, int how) {
    REAL(flock);
    count(of(fd), "flock", 0);
    return real(fd, how);
}
int unlink(const char *path) {
    REAL(unlink);
    count(kind_of(path), "unlink", 0);
    return real(path);
}
int link(const char *from, const char *to) {
    REAL(link);
    count(kind_of(to), "link", 0);
    return real(from, to);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    count(kind_of(to), "rename", 0);
    return real(from, to);
}
