/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loadfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/bench/loads.h"
#include "core/bytes.h"
#include "core/log.h"

#define WORDS_MAX 10
#define SLOTS_MAX 1000
#define ROOT	  "/clients/client1" /* each client has its own in its place */

/* ---- names and steps, for both kinds ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A node of the index: compare() sees its first member. */
struct interned {
	char *name;
	uint32_t number;
};

static int intern(struct loadfile *l, const char *name, uint32_t *number)
{
	struct interned *e = malloc(sizeof(*e)), **found;
	char **grown;

	if (!e)
		return -ENOMEM;
	e->name = strdup(name);
	found = e->name ? tsearch(e, &l->index, compare) : NULL;
	if (!found || *found != e) { /* it is there, or there is no memory */
		free(e->name);
		free(e);
		if (!found)
			return -ENOMEM;
		*number = (*found)->number;
		return 0;
	}
	e->number = l->names;
	grown = realloc(l->name, (l->names + 1) * sizeof(*l->name));
	if (!grown)
		return -ENOMEM; /* the index frees e */
	l->name = grown;
	l->name[l->names] = e->name;
	*number = l->names++;
	return 0;
}

static void free_interned(void *p)
{
	struct interned *e = p;

	free(e->name);
	free(e);
}

static int add(struct loadfile *l, struct step s)
{
	if (l->steps == l->room) {
		size_t room = l->room ? 2 * l->room : 1024;
		struct step *grown = realloc(l->step, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->step = grown;
		l->room = room;
	}
	l->step[l->steps++] = s;
	return 0;
}

void loadfile_free(struct loadfile *l)
{
	tdestroy(l->index, free_interned);
	free(l->name);
	free(l->step);
	*l = (struct loadfile){0};
}

/* ---- dbench's format ---- */

/* What a word of the format stands for, and what follows it. */
static const struct word {
	const char *name;
	uint8_t op;
	unsigned char names;   /* operands in quotes */
	unsigned char numbers; /* at least so many follow these, before the status */
} words[] = {
	{"NTCreateX", STEP_OPEN, 1, 3},
	{"Close", STEP_CLOSE, 0, 1},
	{"ReadX", STEP_READ, 0, 3},
	{"WriteX", STEP_WRITE, 0, 3},
	{"Flush", STEP_FLUSH, 0, 1},
	{"Rename", STEP_RENAME, 2, 0},
	{"Unlink", STEP_UNLINK, 1, 0},
	{"Deltree", STEP_DELTREE, 1, 0},
	{"Rmdir", STEP_RMDIR, 1, 0},
	{"Mkdir", STEP_MKDIR, 1, 0},
	{"QUERY_PATH_INFORMATION", STEP_STAT, 1, 0},
	{"QUERY_FILE_INFORMATION", STEP_FSTAT, 0, 1},
	{"QUERY_FS_INFORMATION", STEP_STATFS, 0, 0},
	{"SET_FILE_INFORMATION", STEP_TOUCH, 0, 1},
	{"FIND_FIRST", STEP_LIST, 1, 0},
	{"LockX", STEP_LOCK, 0, 1},
	{"UnlockX", STEP_UNLOCK, 0, 1},
};

struct reading {
	struct loadfile *l;
	const char *path;
	unsigned line;
	unsigned long handle[SLOTS_MAX]; /* in the file; 0: the slot is free */
};

static int bad(const struct reading *r, const char *what, const char *word)
{
	log_error("%s:%u: %s%s%s; it is to be a loadfile of dbench 3 or 4", r->path, r->line, what,
		  word ? ": " : "", word ? word : "");
	return -EINVAL;
}

/* Takes the next word, quoted or not; NULL at the end. */
static char *next_word(char **at)
{
	char *p = *at + strspn(*at, " \t\r\n"), *end;

	if (!*p)
		return NULL;
	if (*p == '"') {
		end = strchr(++p, '"');
		if (!end)
			return NULL;
	} else {
		end = p + strcspn(p, " \t\r\n");
	}
	*at = *end ? end + 1 : end;
	*end = '\0';
	return p;
}

/*
 * The name of a file server's client as one below the client's directory. Upper and lower case are
 * one to such a client: all becomes lower case. STEP_NO_NAME: it is above that directory, which is
 * there.
 */
static int take_name(struct reading *r, char *text, bool pattern, uint32_t *number)
{
	char *last;

	for (char *c = text; *c; c++)
		*c = *c == '\\' ? '/' : (char)tolower((unsigned char)*c);
	*number = STEP_NO_NAME;
	if (strncmp(text, ROOT, strlen(ROOT)) != 0)
		return strcmp(text, "/clients") == 0 || strcmp(text, "/") == 0
			       ? 0
			       : bad(r, "a file outside of " ROOT, text);
	text += strlen(ROOT);
	if (*text && *text != '/')
		return bad(r, "a file outside of " ROOT, text);
	last = strrchr(text, '/');
	if (pattern && last) /* which entries it wants is not asked: all are read */
		*last = '\0';
	text += *text == '/';
	if (strstr(text, ".."))
		return bad(r, "a name with ..", text);
	return intern(r->l, *text ? text : ".", number);
}

static int find_slot(const struct reading *r, unsigned long handle)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (r->handle[i] == handle)
			return i;
	return -1;
}

/* The values of the constants are those of MS-SMB, 2.2.4.9 (NT_CREATE_ANDX). */
static int open_flags(unsigned long disposition)
{
	enum { CREATE = 2, OPEN_IF = 3, OVERWRITE = 4, OVERWRITE_IF = 5 };

	if (disposition == CREATE || disposition == OPEN_IF)
		return O_RDWR | O_CREAT;
	if (disposition == OVERWRITE || disposition == OVERWRITE_IF)
		return O_RDWR | O_CREAT | O_TRUNC;
	return O_RDWR;
}

static int take_numbers(struct reading *r, const struct word *w, const unsigned long *v,
			struct step *s)
{
	const unsigned long handle = w->op == STEP_OPEN ? v[2] : v[0];
	int slot = -1;

	if (!w->numbers)
		return 0;
	if (w->op == STEP_OPEN) {
		if (v[0] & 1) /* FILE_DIRECTORY_FILE */
			s->op = STEP_OPENDIR;
		s->how = open_flags(v[1]);
		if (s->fails)
			return 0;
		slot = find_slot(r, 0);
		if (slot < 0)
			return bad(r, "too many files are open", NULL);
		r->handle[slot] = handle;
		r->l->slots = MAX(r->l->slots, (unsigned)slot + 1);
	} else {
		slot = handle ? find_slot(r, handle) : -1;
		if (slot < 0)
			return bad(r, "a handle that is not open", NULL);
		if (w->op == STEP_CLOSE)
			r->handle[slot] = 0;
	}
	s->slot = (uint16_t)slot;
	if (w->op == STEP_READ || w->op == STEP_WRITE) {
		if (v[2] > STEP_MAX_BYTES)
			return bad(r, "more than 1048576 bytes in one step", NULL);
		s->offset = v[1];
		s->size = (uint32_t)v[2];
	}
	return 0;
}

static int take_line(struct reading *r, char *line)
{
	char *word = next_word(&line), *rest[WORDS_MAX], *end;
	struct step s = {.line = r->line};
	unsigned long v[WORDS_MAX] = {0};
	const struct word *w = NULL;
	uint32_t b = 0;
	unsigned n = 0;
	int err = 0;

	if (word && isdigit((unsigned char)*word)) /* when it was recorded */
		word = next_word(&line);
	if (!word || *word == '#')
		return 0;
	while (n < WORDS_MAX && (rest[n] = next_word(&line)))
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(words) && !w; i++)
		if (strcasecmp(word, words[i].name) == 0)
			w = &words[i];
	if (!w)
		return bad(r, "an operation that is not known", word);
	if (n < w->names + w->numbers + 1u)
		return bad(r, "operands are missing", word);
	s.op = w->op;
	s.fails = strcmp(rest[n - 1], "NT_STATUS_OK") != 0 && strcmp(rest[n - 1], "0x0") != 0;
	if (w->names > 0)
		err = take_name(r, rest[0], w->op == STEP_LIST, &s.a);
	if (!err && w->names > 1)
		err = take_name(r, rest[1], false, &b);
	if (err || (w->names && (s.a == STEP_NO_NAME || b == STEP_NO_NAME)))
		return err;
	if (w->names > 1)
		s.b = b;
	for (unsigned i = 0; i < w->numbers; i++) {
		v[i] = strtoul(rest[w->names + i], &end, 0);
		if (*end || !*rest[w->names + i])
			return bad(r, "not a number", rest[w->names + i]);
	}
	err = take_numbers(r, w, v, &s);
	return err ? err : add(r->l, s);
}

int loadfile_read(struct loadfile *l, const char *path)
{
	struct reading *r = calloc(1, sizeof(*r));
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	*l = (struct loadfile){0};
	if (!f || !r) {
		err = -errno;
		log_error("%s: %s; Debian's dbench has one: /usr/share/dbench/client.txt", path,
			  strerror(-err));
	} else {
		r->l = l;
		r->path = path;
		for (r->line = 1; !err && getline(&line, &room, f) >= 0; r->line++)
			err = take_line(r, line);
		if (!err && ferror(f))
			err = -EIO;
		if (!err && !l->steps)
			err = bad(r, "there is nothing to do in it", NULL);
		if (err == -ENOMEM || err == -EIO)
			log_error("%s: %s", path, strerror(-err));
	}
	free(line);
	free(r);
	if (f)
		fclose(f);
	return err;
}

/* ---- our own mix ---- */

#define MIX_STEPS 3000 /* of these, each a file opened, and more */
#define MIX_FILES 64
#define MIX_CHUNK (64u << 10)
#define MIX_DIRS  4

struct mix {
	struct loadfile *l;
	uint64_t random;
	uint32_t dir[MIX_DIRS], name[2 * MIX_FILES]; /* the odd ones: after a rename */
	uint32_t size[MIX_FILES];		     /* 0: not there */
	bool renamed[MIX_FILES];
	int err;
};

static void mix_add(struct mix *m, struct step s)
{
	if (!m->err)
		m->err = add(m->l, s);
}

static uint32_t mix_name(const struct mix *m, unsigned i)
{
	return m->name[2 * i + m->renamed[i]];
}

static void mix_transfer(struct mix *m, uint8_t op, uint32_t size)
{
	for (uint32_t at = 0; at < size; at += MIX_CHUNK)
		mix_add(m,
			(struct step){.op = op, .offset = at, .size = MIN(MIX_CHUNK, size - at)});
}

static void mix_write(struct mix *m, unsigned i)
{
	/* Many small ones, few large ones. */
	uint32_t size = 4096u << load_random(&m->random) % 9;

	m->renamed[i] = false;
	mix_add(m, (struct step){.op = STEP_STAT, .a = mix_name(m, i), .fails = true});
	mix_add(m, (struct step){.op = STEP_OPEN,
				 .how = O_RDWR | O_CREAT | O_TRUNC,
				 .a = mix_name(m, i)});
	mix_transfer(m, STEP_WRITE, size);
	if (load_random(&m->random) % 4 == 0)
		mix_add(m, (struct step){.op = STEP_FLUSH});
	mix_add(m, (struct step){.op = STEP_CLOSE});
	m->size[i] = size;
}

static void mix_step(struct mix *m)
{
	unsigned i = load_random(&m->random) % MIX_FILES, dice = load_random(&m->random) % 100;

	if (!m->size[i]) {
		mix_write(m, i);
	} else if (dice < 50) {
		mix_add(m, (struct step){.op = STEP_OPEN, .how = O_RDWR, .a = mix_name(m, i)});
		mix_add(m, (struct step){.op = STEP_FSTAT});
		mix_transfer(m, STEP_READ, m->size[i]);
		mix_add(m, (struct step){.op = STEP_CLOSE});
	} else if (dice < 60) {
		uint32_t from = mix_name(m, i);

		m->renamed[i] = !m->renamed[i];
		mix_add(m, (struct step){.op = STEP_RENAME, .a = from, .b = mix_name(m, i)});
	} else if (dice < 70) {
		mix_add(m, (struct step){.op = STEP_LIST, .a = m->dir[i % MIX_DIRS]});
	} else {
		mix_add(m, (struct step){.op = STEP_UNLINK, .a = mix_name(m, i)});
		m->size[i] = 0;
	}
}

int loadfile_mix(struct loadfile *l, uint64_t seed)
{
	struct mix m = {.l = l, .random = seed};
	char text[32];

	*l = (struct loadfile){.slots = 1};
	for (unsigned i = 0; i < MIX_DIRS && !m.err; i++) {
		snprintf(text, sizeof(text), "dir%u", i);
		m.err = intern(l, text, &m.dir[i]);
		mix_add(&m, (struct step){.op = STEP_MKDIR, .a = m.dir[i], .fails = true});
	}
	for (unsigned i = 0; i < 2 * MIX_FILES && !m.err; i++) {
		snprintf(text, sizeof(text), "dir%u/file%u%s", i / 2 % MIX_DIRS, i / 2,
			 i % 2 ? ".old" : "");
		m.err = intern(l, text, &m.name[i]);
	}
	for (unsigned n = 0; n < MIX_STEPS && !m.err; n++)
		mix_step(&m);
	/* It begins anew with none. */
	for (unsigned i = 0; i < MIX_FILES && !m.err; i++)
		if (m.size[i])
			mix_add(&m, (struct step){.op = STEP_UNLINK, .a = mix_name(&m, i)});
	if (m.err)
		log_error("out of memory for the steps of a client");
	return m.err;
}
