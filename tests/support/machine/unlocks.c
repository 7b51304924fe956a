/* Preloaded into a process: fails one release of a lock and removes the file UNLOCK_FAILS, in which stands which one: the
 * number of its byte, and r or w for the kind of lock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What SQLite's bytes were locked with last, in whichever file: only one at a time is tried with. */
static volatile short locked_with[256];

static void note(const struct flock *lock) {
    for (long byte = lock->l_start; byte < lock->l_start + lock->l_len && byte < 256; byte++)
        if (byte >= 0) locked_with[byte] = lock->l_type;
}

static int fails(int command, const struct flock *lock) {
    const char *path = getenv("UNLOCK_FAILS");
    long byte = -1;
    char kind = 0;
    FILE *file;
    if (command == F_SETLK && lock->l_type != F_UNLCK) note(lock);
    if (command != F_SETLK || lock->l_type != F_UNLCK || path == NULL || (file = fopen(path, "r")) == NULL) return 0;
    int is_read = fscanf(file, "%ld%c", &byte, &kind) == 2 && byte >= 0 && byte < 256;
    fclose(file);
    if (!is_read || locked_with[byte] != (kind == 'r' ? F_RDLCK : F_WRLCK)) return 0;
    /* Whoever removes it is the one that fails. */
    return lock->l_start <= byte && byte < lock->l_start + lock->l_len && unlink(path) == 0;
}

int fcntl64(int fd, int command, ...) {
    static int (*real)(int, int, ...);
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_SETLK && fails(command, argument)) {
errno = EIO;
        return -1;
    }
    if (real == NULL) real = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64");
    return real(fd, command, argument);
}

int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));
