// SPDX-License-Identifier: BSD-3-Clause
/*
 * One end of a vsock connection, for guests of the lab, which have busybox alone.
 *   vsock-peer echo PORT         what each client sends comes back to it, one client after the other
 *   vsock-peer send CID PORT TEXT    prints what comes back
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int fail(const char *what)
{
	printf("vsock-peer: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int echo(int sock, struct sockaddr_vm *at)
{
	char buf[65536];

	at->svm_cid = VMADDR_CID_ANY;
	if (bind(sock, (struct sockaddr *)at, sizeof(*at)) < 0 || listen(sock, 4) < 0)
		return fail("listen");
	for (;;) {
		int peer = accept(sock, NULL, NULL);
		ssize_t n;

		if (peer < 0)
			return fail("accept");
		while ((n = recv(peer, buf, sizeof(buf), 0)) > 0)
			for (ssize_t done = 0, put; done < n; done += put) {
				put = send(peer, buf + done, (size_t)(n - done), MSG_NOSIGNAL);
				if (put <= 0)
					break;
			}
		close(peer);
	}
}

static int say(int sock, const struct sockaddr_vm *to, const char *text)
{
	char buf[4096];
	ssize_t n;

	if (connect(sock, (const struct sockaddr *)to, sizeof(*to)) < 0)
		return fail("connect");
	if (send(sock, text, strlen(text), 0) < 0 || shutdown(sock, SHUT_WR) < 0)
		return fail("send");
	while ((n = recv(sock, buf, sizeof(buf), 0)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	printf("\n");
	return n < 0 ? fail("receive") : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int sock = socket(AF_VSOCK, SOCK_STREAM, 0);
	struct sockaddr_vm at = { .svm_family = AF_VSOCK };

	if (sock < 0)
		return fail("socket");
	if (argc == 3 && strcmp(argv[1], "echo") == 0) {
		at.svm_port = (unsigned int)atoi(argv[2]);
		return echo(sock, &at);
	}
	if (argc == 5 && strcmp(argv[1], "send") == 0) {
		at.svm_cid = (unsigned int)atoi(argv[2]);
		at.svm_port = (unsigned int)atoi(argv[3]);
		return say(sock, &at, argv[4]);
	}
	printf("vsock-peer: echo PORT | send CID PORT TEXT\n");
	return EXIT_FAILURE;
}
