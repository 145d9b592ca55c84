/* SPDX-License-Identifier: MIT */
/*
 * http-server ADDRESS [TEXT]: a web server with argp and evhttp.  "GET /" gives
 * the text, "GET /conninfo" says who is asking, "POST /quit" ends it.
 */
#include <err.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <sockfront/argp.h>
#include <sockfront/event.h>

static char hello[] = "Hello from whatever socket this is.", *text = hello;
static struct sfront_evhttp *server;

static void stop(struct evhttp_request *request, void *data)
{
	(void)request;
	sfront_evhttp_stop(data);
}

static void ended(void *data, int error)
{
	(void)error;
	event_base_loopbreak(data);
}

static const struct sfront_evhttp_calls calls = { .size = sizeof(calls), .ended = ended };

static void answer(struct evhttp_request *request, void *data)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	const char *path = evhttp_request_get_uri(request), *body = NULL;
	bool posted = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
	char who[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_connection client;

	(void)data;
	if (strcmp(path, "/") == 0)
		body = text;
	if (strcmp(path, "/conninfo") == 0 &&
	    sfront_evhttp_connection(server, request, &client) == 0 &&
	    sfront_connection_format(&client, who, sizeof(who)) > 0)
		body = who;
	if (posted && strcmp(path, "/quit") == 0) {
		body = "Bye.";
		evhttp_add_header(headers, "Connection", "close");
		evhttp_request_set_on_complete_cb(request, stop, server); /* once that is out */
	}
	evbuffer_add_printf(evhttp_request_get_output_buffer(request), "%s\n",
			    body ? body : "Not found.");
	evhttp_send_reply(request, body ? HTTP_OK : HTTP_NOTFOUND, NULL, NULL);
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct sfront_argp *listen = state->input;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = listen;
	else if (key == ARGP_KEY_ARG && listen->n_addresses == 1 && state->arg_num == 0)
		text = word; /* the one before it is the library's */
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

int main(int argc, char **argv)
{
	const struct argp_child children[2] = { { sfront_argp(SFRONT_ARGP_WORD), 0, NULL, 0 } };
	const struct argp argp = { NULL, parse, "ADDRESS [TEXT]", NULL, children, NULL, NULL };
	char where[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_address address;
	struct sfront_argp listen = { &address, 1, 0, sfront_options_new() };
	struct sfront_listener *listener;
	struct sfront_error error;
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &listen);
	signal(SIGPIPE, SIG_IGN);
	evhttp_set_gencb(http, answer, NULL);
	if (sfront_listener_open(&address, 1, listen.options, &listener, &error) < 0 ||
	    sfront_evhttp_new(base, http, listener, &calls, base, &server, &error) < 0)
		errx(1, "%s", error.message);
	for (size_t i = 0; sfront_listener_format(listener, i, where, sizeof(where)) > 0; i++)
		fprintf(stderr, "listening on %s\n", where);
	event_base_dispatch(base);
	sfront_evhttp_free(server);
	evhttp_free(http);
	event_base_free(base);
	sfront_listener_close(listener);
	sfront_options_free(listen.options);
}
