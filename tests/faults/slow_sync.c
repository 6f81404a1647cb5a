/* Makes fsync and fdatasync take longer while the file that SLOW_SYNC names exists.
   Its content is the delay in milliseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_a_while(void)
{
    const char *path = getenv("SLOW_SYNC");
    FILE *file = path ? fopen(path, "r") : NULL;
    int delay_ms = 0;
    if (file == NULL)
        return;
    if (fscanf(file, "%d", &delay_ms) != 1)
        delay_ms = 0;
    fclose(file);
    if (delay_ms > 0)
        usleep((useconds_t)delay_ms * 1000);
}

int fsync(int fd)
{
    static int (*next)(int);
    if (next == NULL)
        next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_while();
    return next(fd);
}

int fdatasync(int fd)
{
    static int (*next)(int);
    if (next == NULL)
        next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_while();
    return next(fd);
}
