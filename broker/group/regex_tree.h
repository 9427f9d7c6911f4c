/* broker/group/regex_tree.h: the tree of a regular expression: what the parser makes and the program is made of. For
 * regex.c and regex_parse.c only.
 *
 * Threads: any; the tree belongs to who has the arena. */
#ifndef OTTLA_REGEX_TREE_H
#define OTTLA_REGEX_TREE_H

#include "base/arena.h"
#include "base/slice.h"

#include <ctype.h>

struct regex_set {
    uint64_t bits[4];
};

static inline bool regex_set_has(const struct regex_set *s, uint8_t c)
{
    return s->bits[c >> 6] >> (c & 63) & 1;
}

enum regex_node_type {
    NODE_EMPTY,
    NODE_SET,
    NODE_BEGIN,
    NODE_END,
    NODE_WORD,
    NODE_NOT_WORD,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT
};

/* Sequences and alternatives are lists: the right side is the rest, so that whoever walks the tree recurses into groups
 * only, and a long expression needs no deep stack. */
struct regex_node {
    enum regex_node_type type;
    struct regex_set set;
    struct regex_node *left, *right;
    int min, max; /* of REPEAT; max -1: without end */
};

/* The tree lives in the arena. NULL: *ret_error says what is wrong, in RE2's words where it has them. */
struct regex_node *regex_parse(struct slice text, struct arena *arena, const char **ret_error);

static inline bool regex_is_word(int c)
{
    return isalnum(c) || c == '_';
}

#endif
