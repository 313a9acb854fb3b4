/* The simplest fast client: epoll, recv, a stamp, count the lines. What the transport is held to.
 *
 *   reader PORT STREAMS SPREAD_MS ROUNDS
 *
 * Opens STREAMS connections, sends each a request, spread over SPREAD_MS, and reads; when a response
 * has ended the connection sends the next, until each has had ROUNDS. Prints
 * "lines seconds_of_cpu seconds_of_wall" for the time after the connections were open.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char request[] =
    "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: 2\r\n\r\n{}";

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    int port = atoi(argv[1]), streams = atoi(argv[2]), spread_ms = atoi(argv[3]);
    int rounds = atoi(argv[4]);
    int *fds = calloc(streams, sizeof *fds), *left = calloc(streams, sizeof *left);
    static char buffer[65536];
    static int64_t stamps[1 << 16];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int epoll = epoll_create1(0), one = 1;
    for (int i = 0; i < streams; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address) < 0) return 1;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
        left[i] = rounds;
    }
    double cpu_before = cpu();
    int64_t start = now();
    uint64_t lines = 0;
    int sent = 0, ended = 0;
    while (ended < streams) {
        int64_t wait = 1000000000LL;
        while (sent < streams) {
            wait = start + (int64_t)sent * spread_ms * 1000000LL / streams - now();
            if (wait > 0) break;
            if (send(fds[sent], request, sizeof request - 1, 0) < 0) return 1;
            sent++;
            wait = 1000000000LL;
        }
        struct timespec timeout = {wait / 1000000000LL, wait % 1000000000LL};
        struct epoll_event events[512];
        int n = syscall(SYS_epoll_pwait2, epoll, events, 512, &timeout, NULL, 0);
        for (int i = 0; i < n; i++) {
            int stream = events[i].data.u32;
            ssize_t got = recv(fds[stream], buffer, sizeof buffer, 0);
            int64_t stamp = now();
            if (got <= 0) return 1;
            /* A line within a chunk ends "\n\r\n"; the end of the response is "0\r\n\r\n". */
            for (char *p = buffer; (p = memmem(p, buffer + got - p, "}\n", 2)); p += 2)
                stamps[lines++ & 0xffff] = stamp;
            if (got >= 5 && !memcmp(buffer + got - 5, "0\r\n\r\n", 5)) {
                if (--left[stream] == 0) ended++;
                else if (send(fds[stream], request, sizeof request - 1, 0) < 0) return 1;
            }
        }
    }
    printf("%llu %.6f %.6f\n", (unsigned long long)lines, cpu() - cpu_before,
           (now() - start) / 1e9);
    return stamps[0] == 0;
}
