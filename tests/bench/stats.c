/* tests/bench/stats.c - medians and the middle half, since a mean is whatever the worst neighbour makes it. */
#include "tests/bench/stats.h"

#include <math.h>
#include <stdlib.h>

void series_add(struct series *s, double value)
{
	if (s->n < sizeof(s->v) / sizeof(s->v[0]))
		s->v[s->n++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double series_at(const struct series *s, double part)
{
	struct series sorted = *s;

	if (s->n == 0)
		return 0;
	qsort(sorted.v, sorted.n, sizeof(sorted.v[0]), compare_doubles);
	return sorted.v[(size_t)(part * (double)(sorted.n - 1) + 0.5)];
}

bool latencies_push(struct latencies *l, uint64_t ns)
{
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 65536;
		uint32_t *v = reallocarray(l->v, size, sizeof(l->v[0]));

		if (!v)
			return false;
		l->v = v;
		l->size = size;
	}
	l->v[l->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
	return true;
}

static int compare_uints(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double latencies_at(struct latencies *l, double part)
{
	if (l->n == 0)
		return 0;
	qsort(l->v, l->n, sizeof(l->v[0]), compare_uints);
	return (double)l->v[(size_t)(part * (double)(l->n - 1))];
}

void latencies_clear(struct latencies *l)
{
	l->n = 0;
}

void latencies_done(struct latencies *l)
{
	free(l->v);
	*l = (struct latencies){ 0 };
}

bool bound_holds(double value, enum bound bound, double limit)
{
	return bound == NO_BOUND || (bound == AT_LEAST ? value >= limit : value <= limit);
}

const char *stats_number(double value, char dst[static 32])
{
	snprintf(dst, 32, fabs(value) >= 999.5 ? "%.0f" : "%.3g", value);
	return dst;
}

static void write_text(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 0x20)
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

/* JSON knows no infinities; a ratio to nothing is none. */
static void write_number(FILE *to, const char *name, double value)
{
	if (isfinite(value))
		fprintf(to, ",\"%s\":%.6g", name, value);
	else
		fprintf(to, ",\"%s\":null", name);
}

static void write_head(FILE *to, const char *key, const char *what)
{
	fputs("{\"key\":", to);
	write_text(to, key);
	fputs(",\"what\":", to);
	write_text(to, what);
}

static void write_unit(FILE *to, const struct figure *f)
{
	fputs(",\"unit\":", to);
	write_text(to, f->unit);
}

void stats_write(FILE *to, const struct figure *f, const struct series *s)
{
	double median = series_at(s, 0.5);

	write_head(to, f->key, f->what);
	write_unit(to, f);
	write_number(to, "median", median);
	write_number(to, "low", series_at(s, 0.25));
	write_number(to, "high", series_at(s, 0.75));
	write_number(to, "min", series_at(s, 0));
	write_number(to, "max", series_at(s, 1));
	fprintf(to, ",\"samples\":%zu", s->n);
	if (f->bound != NO_BOUND) {
		write_number(to, f->bound == AT_LEAST ? "atLeast" : "atMost", f->limit);
		fprintf(to, ",\"holds\":%s", bound_holds(median, f->bound, f->limit) ? "true" : "false");
	}
	fputs("}\n", to);
}

void stats_write_points(FILE *to, const struct figure *f, const struct point *points, size_t n)
{
	write_head(to, f->key, f->what);
	write_unit(to, f);
	fputs(",\"points\":[", to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%s[%.6g,%.6g]", i ? "," : "", points[i].x, points[i].y);
	fputs("]}\n", to);
}

void stats_write_skipped(FILE *to, const char *key, const char *what, const char *why)
{
	write_head(to, key, what);
	fputs(",\"skipped\":", to);
	write_text(to, why);
	fputs("}\n", to);
}
