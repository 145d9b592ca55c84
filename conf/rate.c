/* SPDX-License-Identifier: MIT */
/*
 * Text into rates: see rate.h.
 */
#include "conf/rate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sockfront/value.h>

#include "conf/refuse.h"

#define COUNT_MAX 1000000

static int parse_number(const char *text, size_t length, uint32_t *ret)
{
	char number[16];
	uint64_t value;

	if (length >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, length);
	number[length] = '\0';
	if (sfront_parse_count(number, 1, COUNT_MAX, &value, NULL) < 0)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static int parse_period(const char *text, size_t length, uint64_t *ret_ns)
{
	static const struct {
		const char *word;
		uint64_t ns;
	} periods[] = { { "s", UINT64_C(1000000000) }, { "min", UINT64_C(60000000000) } };

	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		if (strlen(periods[i].word) == length &&
		    strncmp(text, periods[i].word, length) == 0) {
			*ret_ns = periods[i].ns;
			return 0;
		}
	}
	return -EINVAL;
}

int rate_parse(const char *text, struct rate *ret, struct sfront_error *err)
{
	size_t n_count = strcspn(text, "/"), n_period;
	const char *period = text + n_count + (text[n_count] == '/'), *burst;
	struct rate rate = { 0 };
	int r;

	n_period = strcspn(period, " \t");
	burst = period + n_period + strspn(period + n_period, " \t");
	r = parse_number(text, n_count, &rate.count);
	if (r == 0)
		r = parse_period(period, n_period, &rate.period_ns);
	rate.burst = rate.count;
	if (r == 0 && *burst)
		r = parse_number(burst, strlen(burst), &rate.burst);
	if (r < 0)
		return refuse(err, r,
			      "\"%.100s\" is not a rate: wanted is N/s or N/min, and after a blank "
			      "how many may come at once, such as 20/s or 600/min 50 (1 to %d)",
			      text, COUNT_MAX);
	*ret = rate;
	return 0;
}
