/* Fails a chosen one of a process's system calls on files below a folder, and counts them. Loaded before libc.
 *
 * fault_arm(folder, nth, fault): from now on the nth call (from 1) on such a file meets `fault`; 0 only counts.
 * fault_calls(): a letter for each call on such a file since then: o opens, w writes, s changes or syncs a file
 * otherwise, n names or unnames one.
 *
 * Children and threads are not told apart: arm it in a process with one thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOTHING = 0, IO_ERROR = 1, NO_SPACE = 2, SHORT = 3, TORN = 4, KILL = 5, DEAD_DISK = 6 };

static char folder_[4096];
static size_t folder_length;
static char calls[4096];
static long nth_, seen_;
static int fault_, armed;

void fault_arm(const char *folder, long nth, int fault) {
    strncpy(folder_, folder, sizeof folder_ - 1);
    folder_length = strlen(folder_);
    nth_ = nth;
    fault_ = fault;
    seen_ = 0;
    memset(calls, 0, sizeof calls);
    armed = 1;
}

const char *fault_calls(void) { return calls; }

static int is_below(const char *path) { return armed && strncmp(path, folder_, folder_length) == 0; }

static int is_open_below(int fd) {
    char link[64], path[4096];
    if (!armed) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* The fault that the call under way meets; NOTHING for none. */
static int met(int here, char call) {
    if (!here) return NOTHING;
    if (seen_ + 1 < (long)sizeof calls) calls[seen_] = call;
    seen_++;
    if (nth_ == 0 || seen_ < nth_ || (seen_ > nth_ && fault_ != DEAD_DISK)) return NOTHING;
    if (fault_ == KILL) kill(getpid(), SIGKILL);
    return fault_;
}

/* Whether the call fails outright, with errno set. A call that writes nothing cannot be cut short. */
static int fails(int fault) {
    if (fault == IO_ERROR || fault == DEAD_DISK) errno = EIO;
    else if (fault == NO_SPACE) errno = ENOSPC;
    else return 0;
    return 1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return fails(met(is_below(path), 'o')) ? -1 : real(path, flags, mode); \
    }

#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return fails(met(is_below(path), 'o')) ? -1 : real(at, path, flags, mode); \
    }

#define ON_PATH(name, parameters, types, ...) \
    int name parameters { \
        static int(*real) types; \
        if (!real) real = (int(*) types)dlsym(RTLD_NEXT, #name); \
        return fails(met(is_below(path), 'n')) ? -1 : real(__VA_ARGS__); \
    }

#define ON_FILE(name, parameters, types, ...) \
    int name parameters { \
        static int(*real) types; \
        if (!real) real = (int(*) types)dlsym(RTLD_NEXT, #name); \
        return fails(met(is_open_below(fd), 's')) ? -1 : real(__VA_ARGS__); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ON_FILE(fsync, (int fd), (int), fd)
ON_FILE(fdatasync, (int fd), (int), fd)
ON_FILE(ftruncate, (int fd, off_t length), (int, off_t), fd, length)
ON_FILE(ftruncate64, (int fd, off64_t length), (int, off64_t), fd, length)
ON_FILE(fchmod, (int fd, mode_t mode), (int, mode_t), fd, mode)
ON_PATH(unlink, (const char *path), (const char *), path)
ON_PATH(rename, (const char *path, const char *to), (const char *, const char *), path, to)
ON_PATH(link, (const char *path, const char *to), (const char *, const char *), path, to)

/* A write of which half arrives: and then the process goes on (SHORT) or dies (TORN). */
#define HALF(call) \
    if (fault == TORN) { \
        if (call < 0) return -1; \
        kill(getpid(), SIGKILL); \
    }

ssize_t write(int fd, const void *from, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    int fault = met(is_open_below(fd), 'w');
    if (fails(fault)) return -1;
    if (fault == SHORT || fault == TORN) length = (length + 1) / 2;
    HALF(real(fd, from, length));
    return real(fd, from, length);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    int fault = met(is_open_below(fd), 'w');
    if (fails(fault)) return -1;
    if (fault == SHORT || fault == TORN) length = (length + 1) / 2;
    HALF(real(fd, from, length, at));
    return real(fd, from, length, at);
}

ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    int fault = met(is_open_below(fd), 'w');
    if (fails(fault)) return -1;
    if (fault == SHORT || fault == TORN) length = (length + 1) / 2;
    HALF(real(fd, from, length, at));
    return real(fd, from, length, at);
}
