// SPDX-License-Identifier: BSD-3-Clause
#include "base/cpulist.h"

#include <errno.h>
#include <stdio.h>

#define MORE "..."

/* Digits at *at; moves it behind them. */
static int number_take(const char **at, unsigned int *out)
{
	unsigned int n = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		n = n * 10 + (unsigned int)(**at - '0');
		if (n >= CPU_SETSIZE)
			return -ERANGE;
	}
	*out = n;
	return 0;
}

int cpu_list_parse(const char *text, cpu_set_t *out)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	while (*text != '\0') {
		unsigned int first, last;
		int r = number_take(&text, &first);

		last = first;
		if (r == 0 && *text == '-') {
			text++;
			r = number_take(&text, &last);
		}
		if (r < 0)
			return r;
		if (last < first)
			return -ERANGE;
		for (unsigned int cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, &set);
		if (*text == '\0')
			break;
		if (*text++ != ',' || *text == '\0')
			return -EINVAL;
	}
	*out = set;
	return 0;
}

char *cpu_list_text(const cpu_set_t *set, char *buf, size_t cap)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		unsigned int first = cpu;
		char item[16];
		int n;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		n = first == cpu ? snprintf(item, sizeof(item), "%u", first)
				 : snprintf(item, sizeof(item), "%u-%u", first, cpu);
		/* Room for the comma and for MORE behind it. */
		if (len + (size_t)n + 1 + sizeof(MORE) > cap) {
			snprintf(buf + len, cap - len, MORE);
			break;
		}
		len += (size_t)snprintf(buf + len, cap - len, "%s%s", len > 0 ? "," : "", item);
	}
	return buf;
}

void cpu_set_remove(cpu_set_t *set, const cpu_set_t *what)
{
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, what))
			CPU_CLR(cpu, set);
}
