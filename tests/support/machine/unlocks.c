/* Preloaded into a process: fails one release of a lock, that of the byte whose number stands in the file UNLOCK_FAILS,
 * and removes the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(int command, const struct flock *lock) {
    const char *path = getenv("UNLOCK_FAILS");
    long byte = -1;
    FILE *file;
    if (command != F_SETLK || lock->l_type != F_UNLCK || path == NULL || (file = fopen(path, "r")) == NULL) return 0;
    int is_read = fscanf(file, "%ld", &byte) == 1;
    fclose(file);
    /* Whoever removes it is the one that fails. */
    return is_read && lock->l_start <= byte && byte < lock->l_start + lock->l_len && unlink(path) == 0;
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
