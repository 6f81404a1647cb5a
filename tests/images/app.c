/* The app that the tests deploy: one static binary, no libraries, one thread a connection.
 *
 * GET /health            200 until GET /sick, then 500 until GET /heal
 * GET /id                the host name          GET /env   the environment, one a line
 * GET /headers           the request's header lines, as received
 * POST /body             the length of the body that came; /echo, at most 1 MiB of it, the body
 * POST /say              writes the body, at most 1 MiB, to standard output; ?stream=2 to error
 * GET /exit?code=N       the process ends with this code
 * GET /needed            what the file NEEDS had when the process began
 * GET /ws                WebSocket (RFC 6455): every message comes back
 * any path               ?delay=MS  ?cpu=MS of busy work  ?status=N  ?size=BYTES of body
 *
 * Called as `app once CODE MS TEXT...` it prints each text on a line of its own, waits, and ends.
 *
 * Environment: PORT (8080), SICK=1 (starts sick), START_DELAY_MS (before it listens),
 * TERM_DELAY_MS (goes on serving so long after SIGTERM), TERM_IGNORE=1,
 * FAILING=1 (500 for all but /health),
 * NEEDS=PATH (a file without which it ends with 9, before anything else),
 * BANNER_BYTES=N (first prints a line of N bytes and one that is no UTF-8),
 * EAT_MIB=N (takes so much memory at the start), EXIT_CODE=N (ends at the start).
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 65536
#define BODY_BYTES (1 << 20)
#define FRAME_BYTES (1 << 16)

extern char **environ;
static volatile int sick;
static int failing;
static char *volatile eaten;
static char host[256];
static char needed[4096];

struct conn {
    int fd;
    size_t used;
    char data[HEAD_BYTES + 1];
};

static void sleep_ms(long ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&span, NULL);
}

static long env_number(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

static int send_all(int fd, const void *data, size_t bytes)
{
    for (const char *at = data; bytes;) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        at += sent;
        bytes -= (size_t)sent;
    }
    return 0;
}

/* Take exactly `bytes`, first from what is buffered; `into` may be NULL to drop them. */
static int take(struct conn *c, char *into, size_t bytes)
{
    while (bytes) {
        if (!c->used) {
            ssize_t got = recv(c->fd, c->data, HEAD_BYTES, 0);
            if (got <= 0)
                return -1;
            c->used = (size_t)got;
        }
        size_t part = c->used < bytes ? c->used : bytes;
        if (into) {
            memcpy(into, c->data, part);
            into += part;
        }
        memmove(c->data, c->data + part, c->used - part);
        c->used -= part;
        bytes -= part;
    }
    return 0;
}

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 (RFC 3174) of a message of at most 119 bytes. */
static void sha1(const char *text, size_t bytes, unsigned char out[20])
{
    unsigned char block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t total = bytes < 56 ? 64 : 128;
    memcpy(block, text, bytes);
    block[bytes] = 0x80;
    for (int i = 0; i < 4; i++)
        block[total - 1 - i] = (unsigned char)(bytes * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = block + at + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++)
            w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d
                       : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1
                       : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t next = rotate(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        out[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

static void base64(const unsigned char *in, size_t bytes, char *out)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        if (i + 1 < bytes)
            v |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < bytes)
            v |= in[i + 2];
        *out++ = set[v >> 18];
        *out++ = set[v >> 12 & 63];
        *out++ = i + 1 < bytes ? set[v >> 6 & 63] : '=';
        *out++ = i + 2 < bytes ? set[v & 63] : '=';
    }
    *out = 0;
}

/* The value of a header in `head`, or NULL; copied into `into`. */
static char *header(const char *head, const char *name, char *into, size_t room)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':') {
            const char *value = line + length + 1 + strspn(line + length + 1, " ");
            snprintf(into, room, "%.*s", (int)strcspn(value, "\r\n"), value);
            return into;
        }
    }
    return NULL;
}

static long query(const char *target, const char *name, long otherwise)
{
    size_t length = strlen(name);
    for (const char *at = strchr(target, '?'); at; at = strchr(at, '&')) {
        at++;
        if (!strncmp(at, name, length) && at[length] == '=')
            return atol(at + length + 1);
    }
    return otherwise;
}

static void burn_ms(long ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + ms;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < end);
}

static void echo_messages(struct conn *c, const char *key)
{
    char text[128], accept[32], answer[256], *payload = malloc(FRAME_BYTES);
    unsigned char digest[20], head[2], wide[8], mask[4], reply[4];
    snprintf(text, sizeof text, "%.60s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, strlen(text), digest);
    base64(digest, sizeof digest, accept);
    int length = snprintf(answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\nX-Replica: %.60s\r\n\r\n", accept, host);
    int ok = payload && !send_all(c->fd, answer, (size_t)length);
    while (ok && !take(c, (char *)head, 2)) {
        size_t bytes = head[1] & 127, width = bytes == 126 ? 2 : bytes == 127 ? 8 : 0;
        if (width) {
            if (take(c, (char *)wide, width))
                break;
            bytes = 0;
            for (size_t i = 0; i < width; i++)
                bytes = bytes << 8 | wide[i];
        }
        if (bytes >= FRAME_BYTES || !(head[1] & 128) || take(c, (char *)mask, 4)
            || take(c, payload, bytes))
            break;
        for (size_t i = 0; i < bytes; i++)
            payload[i] ^= mask[i & 3];
        int opcode = head[0] & 15;
        if (opcode == 10)
            continue;
        reply[0] = opcode == 9 ? 0x8A : head[0];
        reply[1] = bytes < 126 ? (unsigned char)bytes : 126;
        reply[2] = (unsigned char)(bytes >> 8);
        reply[3] = (unsigned char)bytes;
        ok = !send_all(c->fd, reply, bytes < 126 ? 2 : 4) && !send_all(c->fd, payload, bytes)
             && opcode != 8;
    }
    free(payload);
}

/* Write the body of an answer; returns its length. */
static size_t answer_body(const char *path, const char *head, size_t received, char *body)
{
    if (!strcmp(path, "/id"))
        return (size_t)snprintf(body, BODY_BYTES, "%s\n", host);
    if (!strcmp(path, "/body"))
        return (size_t)snprintf(body, BODY_BYTES, "%zu\n", received);
    if (!strcmp(path, "/echo")) return received;
    if (!strcmp(path, "/needed"))
        return (size_t)snprintf(body, BODY_BYTES, "%s", needed);
    if (!strcmp(path, "/headers"))
        return (size_t)snprintf(body, BODY_BYTES, "%s", strstr(head, "\r\n") + 2);
    if (!strcmp(path, "/env")) {
        size_t used = (size_t)snprintf(body, BODY_BYTES, "HOST=%s\n", host);
        for (char **entry = environ; *entry && used + strlen(*entry) + 2 < BODY_BYTES; entry++)
            used += (size_t)sprintf(body + used, "%s\n", *entry);
        return used;
    }
    return (size_t)snprintf(body, BODY_BYTES, "ok\n");
}

/* Serve one request whose head lies in `head`; returns 0 to keep the connection. */
static int serve(struct conn *c, const char *head, char *body)
{
    char method[16] = "", target[4096] = "", path[4096], value[256], answer[256];
    int minor = 0;
    if (sscanf(head, "%15s %4095s HTTP/1.%d", method, target, &minor) < 2)
        return -1;
    snprintf(path, sizeof path, "%.*s", (int)strcspn(target, "?"), target);
    if (header(head, "Sec-WebSocket-Key", value, sizeof value) && !strcmp(path, "/ws")) {
        echo_messages(c, value);
        return -1;
    }
    size_t received = 0;
    if (header(head, "Content-Length", value, sizeof value)) {
        received = (size_t)atoll(value);
        int say = !strcmp(path, "/say"), kept = say || !strcmp(path, "/echo");
        if ((kept && received > BODY_BYTES) || take(c, kept ? body : NULL, received))
            return -1;
        if (say) {
            FILE *to = query(target, "stream", 1) == 2 ? stderr : stdout;
            fwrite(body, 1, received, to);
            fflush(to);
        }
    }
    int keep = minor == 1;
    if (header(head, "Connection", value, sizeof value))
        keep = !strcasecmp(value, "keep-alive") || (keep && strcasecmp(value, "close"));
    if (!strcmp(path, "/sick"))
        sick = 1;
    if (!strcmp(path, "/heal"))
        sick = 0;
    sleep_ms(query(target, "delay", 0));
    burn_ms(query(target, "cpu", 0));
    int bad = strcmp(path, "/health") ? failing : sick;
    long status = query(target, "status", bad ? 500 : 200);
    size_t bytes = answer_body(path, head, received, body);
    long size = query(target, "size", 0);
    if (size > 0) {
        bytes = size < BODY_BYTES ? (size_t)size : BODY_BYTES;
        memset(body, 'x', bytes);
    }
    if (strcmp(path, "/say"))
        printf("%s %s %ld\n", method, target, status);
    int length = snprintf(answer, sizeof answer,
        "HTTP/1.1 %ld Test\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
        "Connection: %s\r\nX-Replica: %.60s\r\n\r\n",
        status, bytes, keep ? "keep-alive" : "close", host);
    int sent = send_all(c->fd, answer, (size_t)length);
    if (!sent && strcmp(method, "HEAD"))
        sent = send_all(c->fd, body, bytes);
    if (!strcmp(path, "/exit"))
        exit((int)query(target, "code", 0));
    return sent || !keep ? -1 : 0;
}

static void *converse(void *arg)
{
    struct conn *c = arg;
    char *head = malloc(HEAD_BYTES + 1), *body = malloc(BODY_BYTES), *end;
    int open = head && body;
    while (open) {
        c->data[c->used] = 0;
        end = strstr(c->data, "\r\n\r\n");
        if (end) {
            size_t bytes = (size_t)(end - c->data) + 4;
            memcpy(head, c->data, bytes);
            head[bytes] = 0;
            open = !take(c, NULL, bytes) && !serve(c, head, body);
            continue;
        }
        ssize_t got = c->used < HEAD_BYTES
            ? recv(c->fd, c->data + c->used, HEAD_BYTES - c->used, 0) : 0;
        open = got > 0;
        c->used += open ? (size_t)got : 0;
    }
    close(c->fd);
    free(head);
    free(body);
    free(c);
    return NULL;
}

static void *end_on_sigterm(void *arg)
{
    int which;
    sigwait(arg, &which);
    printf("SIGTERM\n");
    sleep_ms(env_number("TERM_DELAY_MS", 0));
    printf("bye\n");
    exit(0);
}

static int once(int count, char **words)
{
    for (int i = 2; i < count; i++)
        puts(words[i]);
    sleep_ms(count > 1 ? atol(words[1]) : 0);
    return atoi(words[0]);
}

int main(int count, char **words)
{
    FILE *needs = getenv("NEEDS") ? fopen(getenv("NEEDS"), "r") : NULL;
    if (getenv("NEEDS") && !needs) exit(9);
    if (needs) needed[fread(needed, 1, sizeof needed - 1, needs)] = 0;
    static sigset_t term;
    pthread_t thread;
    pthread_attr_t detached;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 2 && !strcmp(words[1], "once")) return once(count - 2, words + 2);
    gethostname(host, sizeof host - 1);
    sick = (int)env_number("SICK", 0);
    failing = (int)env_number("FAILING", 0);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 128 * 1024);
    if (!env_number("TERM_IGNORE", 0))
        pthread_create(&thread, &detached, end_on_sigterm, &term);
    long banner = env_number("BANNER_BYTES", 0);
    for (long i = 0; i < banner; i++)
        putchar('x');
    if (banner) printf("\n\xff\xfe binary\n");
    sleep_ms(env_number("START_DELAY_MS", 0));
    for (long i = 0; i < env_number("EAT_MIB", 0); i++)
        if ((eaten = malloc(1 << 20)))
            memset(eaten, 1, 1 << 20);
    if (getenv("EXIT_CODE")) {
        fprintf(stderr, "ending as told, token %s\n", getenv("TOKEN") ? getenv("TOKEN") : "");
        return (int)env_number("EXIT_CODE", 0);
    }

    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    uint16_t port = htons((uint16_t)env_number("PORT", 8080));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = port};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    printf("listening on %ld as %s\n", env_number("PORT", 8080), host);
    fprintf(stderr, "this line goes to stderr\n");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) { sleep_ms(10); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = calloc(1, sizeof *c);
        if (c) c->fd = fd;
        if (!c || pthread_create(&thread, &detached, converse, c)) {
            free(c);
            close(fd);
        }
    }
}
