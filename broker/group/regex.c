/* broker/group/regex.c: see regex.h.
 *
 * Text -> tree (regex_parse.c) -> program of small instructions -> run in all states at once (Thompson). Repetitions
 * are written out in the program. */
#include "broker/group/regex.h"

#include "broker/group/regex_tree.h"
#include "protocol/kafka_error.h"

#define TREE_BYTES_MAX   (4u << 20)
#define NAME_BYTES_SHOWN 200

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_WORD, OP_NOT_WORD, OP_MATCH };

struct instruction {
    enum op op;
    int32_t to, other;    /* of SPLIT and JUMP */
    struct regex_set set; /* of SET */
};

struct regex {
    struct instruction *code;
    int32_t count, size;
    bool too_large;
    /* of a run: states at this byte and the next, each once, and what is still to be followed */
    int32_t *now, *next, *stack;
    uint32_t *seen;
    uint32_t mark;
};

static int32_t emit(struct regex *r, enum op op)
{
    if (r->count == REGEX_STATES_MAX) {
        r->too_large = true;
        return 0;
    }
    if (r->count == r->size) {
        r->size = r->size ? r->size * 2 : 16;
        r->code = xrealloc(r->code, (size_t)r->size * sizeof r->code[0]);
    }
    r->code[r->count] = (struct instruction){.op = op};
    return r->count++;
}

static void emit_node(struct regex *r, const struct regex_node *n);

static void emit_repeat(struct regex *r, const struct regex_node *n)
{
    int32_t before = r->count;
    for (int i = 0; i < n->min && !r->too_large; i++) {
        emit_node(r, n->left);
        if (r->count == before) break; /* nothing, however often: repeated in repetitions it would take for ever */
    }
    if (n->max < 0) {
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        int32_t back = emit(r, OP_JUMP);
        if (r->too_large) return;
        r->code[back].to = split;
        r->code[split].to = split + 1;
        r->code[split].other = r->count;
    }
    for (int i = n->min; i < n->max && !r->too_large;
         i++) { /* x{2,4} is xx(x(x)?)?: each may also be left out by itself */
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        if (r->too_large) return;
        r->code[split].to = split + 1;
        r->code[split].other = r->count;
    }
}

static void emit_alternatives(struct regex *r, const struct regex_node *n)
{
    int32_t jumps = -1; /* to the end, which is not known yet: a list through `to` */
    for (; n->type == NODE_ALT; n = n->right) {
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        int32_t jump = emit(r, OP_JUMP);
        if (r->too_large) return;
        r->code[split].to = split + 1;
        r->code[split].other = r->count;
        r->code[jump].to = jumps;
        jumps = jump;
    }
    emit_node(r, n);
    while (jumps >= 0 && !r->too_large) {
        int32_t next = r->code[jumps].to;
        r->code[jumps].to = r->count;
        jumps = next;
    }
}

static void emit_node(struct regex *r, const struct regex_node *n)
{
    if (r->too_large) return;
    switch (n->type) {
    case NODE_EMPTY: break;
    case NODE_SET: {
        int32_t set = emit(r, OP_SET); /* which may move the code */
        r->code[set].set = n->set;
        break;
    }
    case NODE_BEGIN: (void)emit(r, OP_BEGIN); break;
    case NODE_END: (void)emit(r, OP_END); break;
    case NODE_WORD: (void)emit(r, OP_WORD); break;
    case NODE_NOT_WORD: (void)emit(r, OP_NOT_WORD); break;
    case NODE_CAT:
        for (; n->type == NODE_CAT; n = n->right) emit_node(r, n->left);
        emit_node(r, n);
        break;
    case NODE_ALT: emit_alternatives(r, n); break;
    case NODE_REPEAT: emit_repeat(r, n); break;
    }
}

struct regex *regex_compile(struct slice text, struct err *err)
{
    struct arena arena;
    const char *error = NULL;
    struct regex *r = xcalloc(1, sizeof *r);
    arena_init(&arena, TREE_BYTES_MAX);
    const struct regex_node *tree = regex_parse(text, &arena, &error);
    if (tree) {
        emit_node(r, tree);
        (void)emit(r, OP_MATCH);
        if (r->too_large) error = "expression too large";
    }
    arena_done(&arena);
    if (error) {
        struct slice shown = slice_make(text.ptr, MIN(text.len, NAME_BYTES_SHOWN));
        (void)err_set(err, KAFKA_INVALID_REGULAR_EXPRESSION,
                      "SubscribedTopicRegex `" SLICE_FMT "` is not a valid regular expression: %s.", SLICE_ARG(shown),
                      error);
        regex_free(r);
        return NULL;
    }
    r->now = xcalloc((size_t)r->count, sizeof r->now[0]);
    r->next = xcalloc((size_t)r->count, sizeof r->next[0]);
    r->stack = xcalloc((size_t)r->count * 2 + 1, sizeof r->stack[0]);
    r->seen = xcalloc((size_t)r->count, sizeof r->seen[0]);
    return r;
}

void regex_free(struct regex *r)
{
    if (!r) return;
    free(r->code);
    free(r->now);
    free(r->next);
    free(r->stack);
    free(r->seen);
    free(r);
}

static bool word_boundary(struct slice name, uint32_t position)
{
    bool before = position > 0 && regex_is_word(name.ptr[position - 1]);
    bool after = position < name.len && regex_is_word(name.ptr[position]);
    return before != after;
}

/* Adds to states what can be reached from `from` without reading. Returns how many there are. */
static int32_t follow(struct regex *r, int32_t from, struct slice name, uint32_t position, int32_t *states,
                      int32_t count, bool *ret_match)
{
    int32_t open = 0;
    r->stack[open++] = from;
    while (open) {
        int32_t i = r->stack[--open];
        if (r->seen[i] == r->mark) continue;
        r->seen[i] = r->mark;
        const struct instruction *in = &r->code[i];
        bool pass = false;
        switch (in->op) {
        case OP_SET: states[count++] = i; break;
        case OP_SPLIT:
            r->stack[open++] = in->other;
            r->stack[open++] = in->to;
            break;
        case OP_JUMP: r->stack[open++] = in->to; break;
        case OP_BEGIN: pass = position == 0; break;
        case OP_END: pass = position == name.len; break;
        case OP_WORD: pass = word_boundary(name, position); break;
        case OP_NOT_WORD: pass = !word_boundary(name, position); break;
        case OP_MATCH: *ret_match = true; break;
        }
        if (pass) r->stack[open++] = i + 1;
    }
    return count;
}

bool regex_matches(struct regex *r, struct slice name)
{
    bool match = false;
    r->mark++;
    int32_t count = follow(r, 0, name, 0, r->now, 0, &match);
    for (uint32_t position = 0; position < name.len; position++) {
        if (!count) return false;
        int32_t next_count = 0;
        match = false;
        r->mark++;
        for (int32_t i = 0; i < count; i++)
            if (regex_set_has(&r->code[r->now[i]].set, name.ptr[position]))
                next_count = follow(r, r->now[i] + 1, name, position + 1, r->next, next_count, &match);
        int32_t *states = r->now;
        r->now = r->next;
        r->next = states;
        count = next_count;
    }
    return match;
}
