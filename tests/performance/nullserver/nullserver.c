/* A server that does nothing but answer, on an absolute schedule, and remembers when it did.
 *
 *   nullserver --tokens N --gap-us G --first-us F [--port P] [--log FILE]
 *
 * Every POST of a chat or a generation is answered by N token lines, one write each, the k-th due first + k * gap after the
 * request had been read, then the done line and, in a write of its own, the end of the response. A
 * GET, or a body with `"stream":false` in it, gets one object at once; what a client asks of a server
 * and a model before it measures (version, tags, ps, show) as well. Right before each write of a line
 * the server notes CLOCK_MONOTONIC; at SIGTERM the notes go to FILE as records {u32 stream, u32 line,
 * i64 ns}. The stream's number stands in `created_at`, so that a client can find its lines in there,
 * and is `load_duration` (in ns), which a run keeps. All other durations are true.
 *
 * One thread, epoll, no allocation while it runs. The port is the first line on stdout.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 8192
#define REQUEST_BYTES 4096

struct note { uint32_t stream, line; int64_t ns; };
struct connection {
    int fd, have, line, queued;
    uint32_t stream;
    int64_t due, asked, began;
    char request[REQUEST_BYTES];
};

static struct connection *connections;   /* by descriptor */
static struct connection *heap[MAX_CONNECTIONS];
static int heap_size;
static struct note *notes;
static size_t noted, notes_max;
static uint32_t streams;
static int tokens = 128;
static int64_t gap_ns = 20000000, first_ns = 0;
static volatile sig_atomic_t stopped;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }
static void on_term(int signal) { (void)signal; stopped = 1; }

static void sift_down(int i)
{
    for (;;) {
        int child = 2 * i + 1;
        if (child >= heap_size) return;
        if (child + 1 < heap_size && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[i]->due <= heap[child]->due) return;
        struct connection *c = heap[i];
        heap[i] = heap[child];
        heap[child] = c;
        i = child;
    }
}

static void push(struct connection *c)
{
    int i = heap_size++;
    heap[i] = c;
    c->queued = 1;
    while (i && heap[(i - 1) / 2]->due > heap[i]->due) {
        struct connection *parent = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = heap[i];
        heap[i] = parent;
        i = (i - 1) / 2;
    }
}

static void pop(void)
{
    heap[0]->queued = 0;
    heap[0] = heap[--heap_size];
    sift_down(0);
}

/* 0 if the peer is gone. */
static int send_all(int fd, const char *data, int n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) return 0;
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 1000) == 0) return 0;
            continue;
        }
        data += sent;
        n -= sent;
    }
    return 1;
}

static int chunked(char *out, const char *line)
{
    return sprintf(out, "%zx\r\n%s\r\n", strlen(line), line);
}

/* Send the line that is due; 0 if the stream is over or the peer gone. */
static int send_line(struct connection *c)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    char line[512], out[1024];
    int n = 0;
    int64_t at = now();
    if (c->line == 0) {
        n = sprintf(out, "%s", head);
        c->began = at;
    }
    if (c->line < tokens)
        sprintf(line,
                "{\"model\":\"null:1b\",\"created_at\":\"%u\",\"message\":{\"role\":\"assistant\","
                "\"content\":\" word\"},\"done\":false}\n", c->stream);
    else
        sprintf(line,
                "{\"model\":\"null:1b\",\"created_at\":\"%u\",\"message\":{\"role\":\"assistant\","
                "\"content\":\"\"},\"done\":true,\"done_reason\":\"length\",\"total_duration\":%lld,"
                "\"load_duration\":%u,\"prompt_eval_count\":10,\"prompt_eval_duration\":%lld,"
                "\"eval_count\":%d,\"eval_duration\":%lld}\n", c->stream,
                (long long)(at - c->asked), c->stream, (long long)(c->began - c->asked), tokens,
                (long long)(at - c->began));
    n += chunked(out + n, line);
    if (noted < notes_max) notes[noted++] = (struct note){c->stream, c->line, now()};
    if (!send_all(c->fd, out, n)) return 0;
    if (c->line++ < tokens) return 1;
    send_all(c->fd, "0\r\n\r\n", 5);
    return 0;
}

/* What is asked of a server and its one model before anything is measured. */
static const struct { const char *path, *body; } told[] = {
    {" /api/version ", "{\"version\":\"0.12.0\"}"},
    {" /api/tags ", "{\"models\":[{\"name\":\"null:1b\",\"model\":\"null:1b\",\"size\":1,"
                    "\"digest\":\"00\",\"details\":{}}]}"},
    {" /api/ps ", "{\"models\":[]}"},
    {" /api/show ", "{\"details\":{},\"model_info\":{},\"capabilities\":[\"completion\"]}"},
};

static const char *asked_of_server(const char *request)
{
    const char *end = strstr(request, "\r\n");
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const char *found = strstr(request, told[i].path);
        if (found && found < end) return told[i].body;
    }
    return NULL;
}

static void answer_at_once(struct connection *c, const char *body)
{
    static const char reply[] =
        "{\"model\":\"null:1b\",\"created_at\":\"0\",\"message\":{\"role\":\"assistant\",\"content\":"
        "\" word\"},\"done\":true,\"done_reason\":\"length\",\"total_duration\":1000000,"
        "\"load_duration\":1000,\"prompt_eval_count\":10,\"prompt_eval_duration\":1000,"
        "\"eval_count\":1,\"eval_duration\":1000000}";
    char out[1024];
    if (!body) body = reply;
    int n = sprintf(out,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
                    "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    send_all(c->fd, out, n);
}

static void hang_up(struct connection *c)
{
    for (int i = 0; c->queued && i < heap_size; i++)
        if (heap[i] == c) {
            c->due = 0;
            while (i) { heap[i] = heap[(i - 1) / 2]; i = (i - 1) / 2; }
            heap[0] = c;
            pop();
        }
    close(c->fd);
    c->fd = -1;
}

static void readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->request + c->have, REQUEST_BYTES - 1 - c->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { hang_up(c); return; }
    c->have += n;
    c->request[c->have] = 0;
    char *end = strstr(c->request, "\r\n\r\n");
    char *length = strcasestr(c->request, "content-length:");
    if (!end) return;
    if (c->have < end + 4 - c->request + (length ? atoi(length + 15) : 0)) return;
    c->have = 0;
    const char *body = asked_of_server(c->request);
    if (body || !length || strstr(end, "\"stream\":false")) { answer_at_once(c, body); return; }
    c->stream = ++streams;
    c->line = 0;
    c->asked = now();
    c->due = c->asked + first_ns;
    push(c);
}

static void run_due(void)
{
    while (heap_size && heap[0]->due <= now()) {
        struct connection *c = heap[0];
        if (!send_line(c)) { pop(); continue; }
        c->due += gap_ns;
        sift_down(0);
    }
}

static void accept_all(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int one = 1;
        if (fd >= MAX_CONNECTIONS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd] = (struct connection){.fd = fd};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[fd]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void serve(int listener)
{
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    while (!stopped) {
        int64_t wait = heap_size ? heap[0]->due - now() : 1000000000LL;
        if (wait < 0) wait = 0;
        struct timespec timeout = {wait / 1000000000LL, wait % 1000000000LL};
        int n = syscall(SYS_epoll_pwait2, epoll, events, 512, &timeout, NULL, 0);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) accept_all(listener, epoll);
            else if (c->fd >= 0) readable(c);
        }
        run_due();
    }
}

int main(int argc, char **argv)
{
    int port = 0;
    const char *log = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--tokens")) tokens = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--gap-us")) gap_ns = (int64_t)(atof(argv[i + 1]) * 1000);
        else if (!strcmp(argv[i], "--first-us")) first_ns = (int64_t)(atof(argv[i + 1]) * 1000);
        else if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--log")) log = argv[i + 1];
    }
    notes_max = log ? 8000000 : 0;
    if (log) notes = malloc(notes_max * sizeof *notes);
    connections = calloc(MAX_CONNECTIONS, sizeof *connections);
    if (!connections || (log && !notes)) die("memory");
    signal(SIGTERM, on_term);
    prctl(PR_SET_TIMERSLACK, 1UL);
    serve(listen_on(port));
    if (log) {
        FILE *f = fopen(log, "wb");
        if (!f || fwrite(notes, sizeof *notes, noted, f) != noted || fclose(f)) die(log);
    }
    return 0;
}
