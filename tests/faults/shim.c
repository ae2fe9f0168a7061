/* A disk that fails on demand: preloaded into the gateway, it refuses system calls on files under one folder.
 *
 * FAULTS_UNDER names the folder, FAULTS_RULES a file of rules that the test writes and this maps; see faults.py for the same
 * layout. A call is refused where a rule has its operation, its path holds the rule's text and not the rule's exception,
 * and the rule has refusals left. An errno of -1 kills the process after the call was done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, SYNCDIR = 8, RENAME = 16, UNLINK = 32, MKDIR = 64 };
enum { RULES = 16, KILL = -1 };

struct rule {
    uint32_t operations;
    int32_t error;
    int64_t left; /* refusals; negative: for ever */
    int64_t hits;
    char holds[100];
    char except[100];
};

static struct rule *rules;
static const char *under;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_RULES");
    under = getenv("FAULTS_UNDER");
    if (!path || !under) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, RULES * sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) { perror("the rules of the faults"); _exit(3); }
    syscall(SYS_close, fd);
    rules = map;
}

/* What to do with a call: 0, an errno, or KILL. */
static int verdict(uint32_t operation, const char *path) {
    if (strncmp(path, under, strlen(under))) return 0;
    for (struct rule *rule = rules; rule < rules + RULES; rule++) {
        if (!(rule->operations & operation) || !strstr(path, rule->holds)) continue;
        if (rule->except[0] && strstr(path, rule->except)) continue;
        int64_t left = __atomic_load_n(&rule->left, __ATOMIC_SEQ_CST);
        while (left > 0 && !__atomic_compare_exchange_n(&rule->left, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
        if (left == 0) continue;
        __atomic_add_fetch(&rule->hits, 1, __ATOMIC_SEQ_CST);
        return rule->error;
    }
    return 0;
}

static int wanted(uint32_t operation) {
    if (!rules) return 0;
    for (int i = 0; i < RULES; i++) if (rules[i].operations & operation) return 1;
    return 0;
}

static int by_path(uint32_t operation, const char *path) { return wanted(operation) ? verdict(operation, path) : 0; }

static int by_fd(uint32_t operation, int fd) {
    char link[32], path[PATH_MAX];
    if (!wanted(operation)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return verdict(operation, path);
}

#define REFUSE(v) do { if ((v) > 0) { errno = (v); return -1; } } while (0)
#define DONE(v, result) do { long r_ = (result); if ((v) == KILL) raise(SIGKILL); return r_; } while (0)

static int opened(int dir, const char *path, int flags, mode_t mode) {
    int v = flags & (O_CREAT | O_WRONLY | O_RDWR) ? by_path(OPEN, path) : 0;
    REFUSE(v);
    DONE(v, syscall(SYS_openat, dir, path, flags, mode));
}

#define MODE(last) mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, last); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags, mode); }

/* A write of more than a page is torn: half of it reaches the file. */
static ssize_t torn(int fd, const void *data, size_t len, off64_t at) {
    int v = by_fd(WRITE, fd);
    if (v > 0 && len > 4096) syscall(at < 0 ? SYS_write : SYS_pwrite64, fd, data, len / 2, at);
    REFUSE(v);
    DONE(v, syscall(at < 0 ? SYS_write : SYS_pwrite64, fd, data, len, at));
}
ssize_t write(int fd, const void *data, size_t len) { return torn(fd, data, len, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return torn(fd, data, len, at); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) { return torn(fd, data, len, at); }

static int synced(int fd, long call) {
    struct stat s;
    int v = wanted(SYNC | SYNCDIR) ? by_fd(fstat(fd, &s) == 0 && S_ISDIR(s.st_mode) ? SYNCDIR : SYNC, fd) : 0;
    REFUSE(v);
    DONE(v, syscall(call, fd));
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int rename(const char *from, const char *to) {
    int v = by_path(RENAME, to);
    REFUSE(v);
    DONE(v, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path) {
    int v = by_path(UNLINK, path);
    REFUSE(v);
    DONE(v, syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int mkdir(const char *path, mode_t mode) {
    int v = by_path(MKDIR, path);
    REFUSE(v);
    DONE(v, syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
